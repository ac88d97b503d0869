"""Recipe and data set -> what the Trainer takes, and what it measured -> metrics and card."""
