"""Command lines: arguments in any order, one sentence for a mistake, a command that can be typed again."""
