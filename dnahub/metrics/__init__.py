"""Predictions and labels -> scores of classes, rankings and their names."""
