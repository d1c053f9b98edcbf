"""Ranking and attribute metrics as pure functions, and meters around them."""
