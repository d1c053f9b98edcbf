"""Patches of ``fastreid/modeling/meta_arch``."""
