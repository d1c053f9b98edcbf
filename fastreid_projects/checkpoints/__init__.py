"""Weights in files: reading them safely, and whether they belong to a model."""
