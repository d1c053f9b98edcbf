"""Attention of the stages of models side by side: python tools/attention_maps.py --model NAME X.yml WEIGHTS."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("attention-maps"))
