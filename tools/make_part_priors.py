"""Masks of body parts for MPN: python tools/make_part_priors.py blazepose --dataset Market1501 --model FILE."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("make-part-priors"))
