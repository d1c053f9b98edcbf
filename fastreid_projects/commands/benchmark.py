"""Measure ratios of time and peak memory, side by side in one process."""

from __future__ import annotations

import argparse


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", metavar="NAME", action="append", help="one of the cases; all by default")
    parser.add_argument("--quick", action="store_true", help="use small sizes, to see that it works")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is a GPU)")
    parser.add_argument(
        "--processor-time", action="store_true", help="count computing but not waiting, for a busy CPU"
    )
    parser.add_argument("--output", default="logs/benchmark.json", help="JSON with versions and hardware")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the chosen cases, write a JSON file after each, and print a table."""
    import torch

    from fastreid_projects.benchmarks.cases import all_cases
    from fastreid_projects.benchmarks.measure import count_processor_time, report
    from fastreid_projects.errors import ConfigError
    from fastreid_projects.files import check_writable

    cases = all_cases()
    unknown = [name for name in args.case or () if name not in cases]
    if unknown:
        raise ConfigError(f"--case {unknown[0]} is not a case; the cases are {', '.join(cases)}")
    check_writable(args.output)
    if args.processor_time:
        count_processor_time()
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise ConfigError(
            f"--device {device} is not a device of this machine: use cpu, or cuda where there is a GPU"
        )
    measured, table = [], ""
    for name in args.case or cases:
        measured += cases[name](args.quick, device)
        table = report(measured, args.output)
    print(table)
