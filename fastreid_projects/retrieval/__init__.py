"""Compare and search pictures by any model's features: thresholds, galleries, ranked lists."""
