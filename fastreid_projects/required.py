"""Imported by the tools before all else: without a host, one sentence on stderr and exit code 2."""

import sys

from fastreid_projects.host_import import HOW_TO_INSTALL, has_host

if not has_host():
    print(f"error: {HOW_TO_INSTALL}", file=sys.stderr)
    sys.exit(2)
