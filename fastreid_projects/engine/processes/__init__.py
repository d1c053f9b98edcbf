"""Several processes: starting them, watching over them, and what they tell each other."""
