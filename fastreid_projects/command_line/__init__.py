"""Command lines: arguments in any order, one sentence for an error, and commands that can be typed again."""
