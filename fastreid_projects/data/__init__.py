"""Datasets, attributes, samplers, and the drawn demo set."""
