"""Patches of ``fastreid/solver``."""
