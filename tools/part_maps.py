"""Where MPN looks for each part: python tools/part_maps.py --config-file X.yml --images DIR MODEL.WEIGHTS W.pth."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("part-maps"))
