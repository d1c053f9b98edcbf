"""Patches of FastReID, in a copy of its tree: ``host/engine/hooks.py`` patches ``fastreid/engine/hooks.py``.

Only these files know defects of the host; each names the host's file and line. :mod:`fastreid_projects.patches`
lists and applies them.
"""
