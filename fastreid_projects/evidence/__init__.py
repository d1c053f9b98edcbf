"""What the papers claim, as a list of trainings, made one after the other and told by a table each."""
