"""Fig. 3 and 9 of FIDI, as plots and CSV: python tools/fidi_sweep.py [--config-file X.yml] [--output logs/fidi_sweep].

Without --config-file only the loss curves (fig. 3) are written; with it alpha and beta are varied as well (fig. 9), one
training for each value and seed. A second call trains only what is missing.
"""

import fastreid_projects.required  # noqa: F401  (mends the host before anything of it is imported)

# isort: split
import argparse
import sys
from collections.abc import Sequence

from fastreid_projects.commands import one_sentence
from fastreid_projects.fidi.curves import write_curves
from fastreid_projects.fidi.sweep import check_sweep, run_sweep, sweep_points, write_sweep


def argument_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", default="", help="a yaml that trains on FIDILoss")
    parser.add_argument("--alphas", nargs="*", type=float, default=[1.01, 1.05, 1.2, 1.5, 2.0, 5.0])
    parser.add_argument("--betas", nargs="*", type=float, default=[0.1, 0.25, 0.5, 1.0, 2.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument(
        "--output", default="logs/fidi_sweep", help="folder for the plots, CSVs and trainings"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs for every training"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Draw, train, draw; print the files."""
    args = argument_parser().parse_args(argv)

    def work() -> None:
        points = list(sweep_points(args.output, args.alphas, args.betas, args.seeds, args.opts))
        if args.config_file:
            check_sweep(args.config_file, points)
        paths = write_curves(args.output)
        if args.config_file:
            run_sweep(args.config_file, points)
            paths += write_sweep(args.output, points)
        print("\n".join(map(str, paths)))

    return one_sentence(work, debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
