"""Patches of ``fastreid/engine/train_loop``."""
