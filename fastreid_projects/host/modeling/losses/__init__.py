"""Patches of ``fastreid/modeling/losses``."""
