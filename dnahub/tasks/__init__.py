"""What a model is trained for: labels, loss and scores."""
