"""Fit the distance below which two pictures count as the same person, at a wanted false-match rate."""

from __future__ import annotations

import argparse

from fastreid_projects.command_line.any_order import AnyOrderParser, add_model_arguments


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = AnyOrderParser(description=__doc__)
    parser.add_argument(
        "--pictures",
        required=True,
        help="pictures of known persons that the model was not trained on: a dataset, a table, or a folder with a "
        "folder for each person",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=1e-3,
        help="share of pairs of different persons that may count as the same person",
    )
    parser.add_argument("--draws", type=int, default=1000, help="number of draws of the bootstrap")
    parser.add_argument(
        "--output",
        default="threshold.json",
        help="file for the threshold; its DET curve is written beside it",
    )
    add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Fit the threshold, write it and the DET curve, and print both."""
    from pathlib import Path

    from fastreid_projects.errors import ConfigError
    from fastreid_projects.extractor import Extractor
    from fastreid_projects.files import check_writable
    from fastreid_projects.retrieval.matching import Matcher
    from fastreid_projects.visualization.det import write_det

    if args.draws < 1:
        raise ConfigError(f"--draws is {args.draws}; it has to be at least 1")
    check_writable(args.output)
    extractor = Extractor.from_config(args.config_file, args.weights, args.opts)
    matcher = Matcher.fit(extractor, args.pictures, rate=args.rate, draws=args.draws, progress=True)
    fitted = matcher.fitted
    path = matcher.save(args.output)
    det = path.with_name(f"{Path(args.output).stem}_det")
    table, picture = write_det(
        matcher.det_curve(), det, (fitted.false_match_rate, 1 - fitted.true_match_rate)
    )
    low, high = fitted.threshold_interval
    print(
        f"{path}: threshold {fitted.threshold:.4g} ({low:.4g} to {high:.4g}) at a false-match rate of "
        f"{fitted.false_match_rate:g}"
    )
    print(
        f"{100 * fitted.true_match_rate:.2f} % of {fitted.pairs_same} pairs of the same person pass; there are "
        f"{fitted.pairs_different} pairs of different persons, of {fitted.people} persons in all"
    )
    print(", ".join(f"{name} {value:.2f} %" for name, value in fitted.verification.items()))
    print(f"DET curve: {picture}, {table}")
