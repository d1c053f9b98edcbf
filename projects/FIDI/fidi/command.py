"""Draw fig. 3 and 9 of FIDI and the balance of pull and push in a batch, as plots and CSV files.

Without --config-file, only the loss curves (fig. 3) and the balance are written; with it, alpha and beta are varied as
well (fig. 9), in one run for each value and seed. A second call trains only the missing runs.
"""

from __future__ import annotations

import argparse

from fastreid_projects.command_line.any_order import AnyOrderParser


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = AnyOrderParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", default="", help="a YAML file that trains with FIDILoss")
    parser.add_argument("--alphas", nargs="*", type=float, default=[1.01, 1.05, 1.2, 1.5, 2.0, 5.0])
    parser.add_argument("--betas", nargs="*", type=float, default=[0.1, 0.25, 0.5, 1.0, 2.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument(
        "--output", default="logs/fidi_sweep", help="folder for the plots, CSV files and runs"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument(
        "--opts", action="store_true", dest="_opts", help=argparse.SUPPRESS
    )  # may precede the pairs
    parser.add_argument("opts", nargs="*", help="KEY VALUE pairs for every run")
    return parser


def run(args: argparse.Namespace) -> None:
    """Draw the curves, train, draw the sweep, and print the files."""
    from .balance import write_balance
    from .curves import write_curves
    from .sweep import check_sweep, run_sweep, sweep_points, write_sweep

    points = list(sweep_points(args.output, args.alphas, args.betas, args.seeds, args.opts))
    if args.config_file:
        check_sweep(args.config_file, points)
    paths = write_curves(args.output) + write_balance(args.output)
    if args.config_file:
        run_sweep(args.config_file, points)
        paths += write_sweep(args.output, points)
    print("\n".join(map(str, paths)))
