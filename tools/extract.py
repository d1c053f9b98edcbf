"""Write the features of pictures: python tools/extract.py --config-file X.yml --images FOLDER --output features.npy."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("extract"))
