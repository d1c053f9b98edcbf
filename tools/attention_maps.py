"""Attention of the stages of models side by side: python tools/attention_maps.py --model NAME X.yml WEIGHTS."""

import fastreid_projects.required  # noqa: F401  (mends the host before anything of it is imported)

# isort: split
import argparse
import sys
from collections.abc import Sequence

from fastreid_projects.commands import one_sentence
from fastreid_projects.engine.load_model import named_configs
from fastreid_projects.sal.attention import write_attention


def main(argv: Sequence[str] | None = None) -> int:
    """Write the picture; print its path and how far apart each model's stages look (L_sac)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model",
        nargs=3,
        action="append",
        required=True,
        metavar=("NAME", "CONFIG", "WEIGHTS"),
        help="a model to show; repeat it for one with and one without the constraint",
    )
    parser.add_argument("--images", nargs="+", default=[], help="pictures (default: queries of the test set)")
    parser.add_argument("--count", type=int, default=6, help="how many queries")
    parser.add_argument("--output", default="logs/attention.png", help="the picture")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)

    def work() -> None:
        models = named_configs("--model", args.model)
        path, constraints = write_attention(models, args.output, args.images, args.count)
        for name, value in constraints.items():
            print(f"{name}: L_sac {value:.4f}")
        print(path)

    return one_sentence(work, debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
