"""Patches of ``fastreid/engine``."""
