"""The command line of ``tools/train_net.py``: the host's arguments, one sentence for a mistake."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from fastreid.engine import default_argument_parser

from fastreid_projects.config import load_config
from fastreid_projects.engine.launch import launch
from fastreid_projects.engine.run import run
from fastreid_projects.engine.seeds import SeedParser, add_seeds_argument, run_seeds
from fastreid_projects.errors import InterruptedRunError, UserError


def argument_parser() -> argparse.ArgumentParser:
    """The host's arguments, ``--seeds`` and ``--debug``."""
    host_parser = default_argument_parser()
    parser = SeedParser(
        description="Train or evaluate any architecture of FastReID or of this project",
        parents=[host_parser],
        add_help=False,  # the host's
    )
    add_seeds_argument(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``train_net.py``; returns the exit code."""
    args = argument_parser().parse_args(argv)
    return one_sentence(lambda: launch(_work, args), debug=args.debug)


def one_sentence(work: Callable[[], Any], *, debug: bool) -> int:
    """Do the work; a mistake of the user's ends it with one line on stderr and exit code 2, any other error with 1.

    A signal ends it with 128 and its number.
    """
    try:
        work()
    except InterruptedRunError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except UserError as error:
        if debug:
            raise
        _say(f"error: {error}")
        return error.exit_code
    except Exception as error:
        if debug:
            raise
        reason = " ".join(str(error).split()) or "no reason given"
        _say(
            f"internal error: {type(error).__name__}: {reason}; run again with --debug to see where it happened"
        )
        return 1
    return 0


def _say(sentence: str) -> None:
    """Print the last line, on stderr, after all that waits in stdout's buffer."""
    sys.stdout.flush()
    print(sentence, file=sys.stderr)


def _work(args: argparse.Namespace) -> None:
    if args.seeds:
        run_seeds(_run, args)
    else:
        _run(args)


def _run(args: argparse.Namespace) -> None:
    run(load_config(args.config_file, args.opts or []), args)
