"""Find a person's pictures: python tools/search.py --config-file X.yml --gallery FOLDER --query A.jpg."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("search"))
