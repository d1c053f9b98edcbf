"""Read weight files safely, and check whether they belong to a model."""
