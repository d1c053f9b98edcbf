"""Images with masks of body parts."""
