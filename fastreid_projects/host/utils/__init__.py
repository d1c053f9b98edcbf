"""Patches of ``fastreid/utils``."""
