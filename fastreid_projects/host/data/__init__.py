"""Patches of ``fastreid/data``."""
