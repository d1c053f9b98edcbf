"""Patches of ``fastreid/evaluation``."""
