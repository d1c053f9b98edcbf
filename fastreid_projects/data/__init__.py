"""Datasets, attributes, samplers, and the synthetic demo set."""
