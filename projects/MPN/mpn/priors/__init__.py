"""Making masks of body parts."""
