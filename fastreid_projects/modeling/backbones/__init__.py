"""Backbones beside FastReID's own."""
