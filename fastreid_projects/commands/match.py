"""Say whether pictures show the same person as the first one."""

from __future__ import annotations

import argparse

from fastreid_projects.command_line.any_order import AnyOrderParser, add_model_arguments


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = AnyOrderParser(description=__doc__)
    parser.add_argument("--images", nargs="+", required=True, help="two pictures or more")
    parser.add_argument("--threshold", required=True, help="file that 'fastreid-projects threshold' wrote")
    add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Print a line for each pair."""
    from fastreid_projects.errors import ConfigError
    from fastreid_projects.extractor import Extractor
    from fastreid_projects.retrieval.matching import Matcher

    first, *others = args.images
    if not others:
        raise ConfigError(f"--images names only {first}: name two pictures or more")
    extractor = Extractor.from_config(args.config_file, args.weights, args.opts)
    matcher = Matcher.load(args.threshold, extractor)
    for other, match in zip(others, matcher.compare_all([first] * len(others), others), strict=True):
        verdict = "the same person" if match.same else "different persons"
        print(f"{first} {other}: {match.distance:.4g}, {verdict}")
    fitted = matcher.fitted
    print(
        f"threshold {fitted.threshold:.4g}: {100 * fitted.false_match_rate:g} % of the pairs of different persons and "
        f"{100 * fitted.true_match_rate:.1f} % of the pairs of the same person are below it"
    )
