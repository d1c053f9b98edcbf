"""Patches of ``fastreid/modeling``."""
