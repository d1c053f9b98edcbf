"""Scores of a target and of its interpreter."""
