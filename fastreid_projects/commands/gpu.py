"""Run tests, benchmarks and short runs on a GPU, in parts with a time limit each, and write a page."""

from __future__ import annotations

import argparse


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--parts", nargs="*", default=[], metavar="NAME", help="only these parts (default: all)"
    )
    parser.add_argument(
        "--seconds", type=float, default=450, help="time limit of all parts together (default: 450)"
    )
    parser.add_argument("--output", default="logs/gpu", help="folder of the JSON files and the page gpu.md")
    parser.add_argument(
        "--device", default="cuda", choices=("cuda", "cpu"), help="cpu only shows that it runs"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the parts; print how each ended and where the page is.

    Raises:
        ConfigError: an unknown part, or no GPU.
        DataError: a part failed; the others have run.
    """
    import logging
    from pathlib import Path

    import torch

    from fastreid_projects.benchmarks.gpu.page import PAGE
    from fastreid_projects.benchmarks.gpu.parts import Choice, chosen_parts
    from fastreid_projects.benchmarks.gpu.run import FAILED, run_parts
    from fastreid_projects.errors import ConfigError, DataError

    parts = chosen_parts(args.parts)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("there is no CUDA device; --device cpu --quick shows on a CPU that the parts run")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    choice = Choice(Path(args.output), args.device, args.quick)
    states = run_parts(parts, choice, args.seconds)
    print(choice.folder / PAGE)
    failed = [name for name, state in states.items() if state == FAILED]
    if failed:
        log = choice.folder / "results" / f"{failed[0]}.log"
        raise DataError(f"{', '.join(failed)} of the parts failed; the first one's output is in {log}")
