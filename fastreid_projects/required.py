"""Imported first by the tools: without FastReID, print one sentence on stderr and exit with code 2."""

import sys

from fastreid_projects.host_import import HOW_TO_INSTALL, has_host

if not has_host():
    print(f"error: {HOW_TO_INSTALL}", file=sys.stderr)
    sys.exit(2)
