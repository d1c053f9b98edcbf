"""Write a trained model as ONNX: python tools/export.py --config-file X.yml MODEL.WEIGHTS W.pth [--output M.onnx]."""

import fastreid_projects.required  # noqa: F401  (mends the host before anything of it is imported)

# isort: split
import argparse
import os
import sys
from collections.abc import Sequence

from fastreid_projects.commands import one_sentence
from fastreid_projects.config import load_config
from fastreid_projects.export import export


def argument_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config-file", required=True, help="yaml of the model, or the config.yaml of its run"
    )
    parser.add_argument(
        "--output", help="the ONNX file (default: OUTPUT_DIR/model.onnx); a .json comes beside it"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("opts", nargs="*", help="KEY VALUE pairs, MODEL.WEIGHTS among them")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Export, and print how far the file is from the model."""
    args = argument_parser().parse_intermixed_args(argv)

    def work() -> None:
        cfg = load_config(args.config_file, args.opts)
        path = args.output or os.path.join(cfg.OUTPUT_DIR, "model.onnx")
        errors = export(cfg, path)["comparison"]["largest_error"]
        print(f"{path}: " + ", ".join(f"{error:.1e} off on {n} images" for n, error in errors.items()))

    return one_sentence(work, debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
