"""Patches of ``fastreid/modeling/backbones``."""
