"""Find what is wrong with an installation, and say how to fix it."""

from __future__ import annotations

import argparse
import sys


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    return argparse.ArgumentParser(description=__doc__)


def run(args: argparse.Namespace) -> None:
    """Print the findings; the exit code is the number of things to fix."""
    from fastreid_projects.doctor import report

    sys.exit(report())
