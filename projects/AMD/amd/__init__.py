"""Attribute-guided metric distillation (AMD)."""
