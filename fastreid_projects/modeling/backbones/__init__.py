"""Backbones in addition to FastReID's own."""
