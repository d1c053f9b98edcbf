"""Time and memory, measured as ratios of things that run side by side."""
