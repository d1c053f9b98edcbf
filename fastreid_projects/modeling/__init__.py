"""Parts of models that no single paper owns."""
