"""FastReID on a current Python and PyTorch, and five ReID papers as plug-ins.

Importing this package does not import the host (``fastreid``); whoever imports the host afterwards gets it patched, see
:mod:`fastreid_projects.patches`.
"""

from fastreid_projects.patches import patch_host, watch_host

__version__ = "0.2.0"
__all__ = ["__version__", "patch_host"]

watch_host()
