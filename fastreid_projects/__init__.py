"""FastReID on a current Python and PyTorch, and five ReID papers as plug-ins.

Importing this package mends the host (``fastreid``) where it is installed; see :mod:`fastreid_projects.host`.
"""

from fastreid_projects.host import patch_host

__version__ = "0.1.0"

patch_host()
