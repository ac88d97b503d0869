"""Sequences of several species or classes -> a data set of labelled windows (`python -m dataset_builder --help`)."""
