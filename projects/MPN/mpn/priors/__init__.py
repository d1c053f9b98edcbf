"""Make masks of body parts."""
