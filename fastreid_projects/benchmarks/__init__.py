"""Time and memory of alternatives that run side by side, as ratios."""
