"""The machine that the scripts run on: its files, what it runs out of, the processes that were launched on it."""
