"""Coding sequences of six species -> a data set of labelled windows (`python -m dataset_builder --help`)."""
