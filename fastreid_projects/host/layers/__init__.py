"""Patches of ``fastreid/layers``."""
