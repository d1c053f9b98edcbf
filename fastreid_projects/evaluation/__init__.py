"""Ranking and verification metrics as pure functions, and classes that collect their inputs."""
