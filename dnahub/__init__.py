"""What the scripts share: sequences, checkpoints, tasks, training, inference, reports, the Hub and the machine."""
