"""Patches of ``fastreid/modeling/heads``."""
