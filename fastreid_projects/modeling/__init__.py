"""Parts of models that do not belong to a single paper."""
