"""Compare the time and memory of alternatives that run side by side."""
