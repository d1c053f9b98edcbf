"""Train or evaluate: python tools/train_net.py --config-file X.yml [--resume] [--eval-only] [KEY VALUE ...]."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("train"))
