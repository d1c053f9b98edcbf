"""Patches of FastReID, in FastReID's own tree: that of ``fastreid/engine/hooks.py`` is ``host/engine/hooks.py``.

They are the only files that know its defects; each names the host's file and line. :mod:`fastreid_projects.patches`
lists and applies them.
"""
