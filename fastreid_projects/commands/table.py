"""The list of commands, and how a command is run."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fastreid_projects.command_line.one_sentence import one_sentence
from fastreid_projects.host_import import HOW_TO_INSTALL, has_host


class Command(NamedTuple):
    """A command.

    Attributes:
        module: a module with ``argument_parser()``, ``run(args)`` and, if its imports are slow, ``prepare()``.
        summary: what it does, in a few words.
        needs_host: whether it needs FastReID.
    """

    module: str
    summary: str
    needs_host: bool = True


_HERE = "fastreid_projects.commands"
COMMANDS = {
    "train": Command(f"{_HERE}.train", "train or evaluate any config"),
    "extract": Command(f"{_HERE}.extract", "write the features of pictures, with their names"),
    "threshold": Command(f"{_HERE}.threshold", "fit a threshold at a wanted false-match rate"),
    "match": Command(f"{_HERE}.match", "say whether pictures show the same person"),
    "search": Command(f"{_HERE}.search", "find a person's pictures in a gallery, on a page"),
    "export": Command(f"{_HERE}.export", "write a trained model as ONNX, compared with the model"),
    "convert": Command(f"{_HERE}.convert", "write a clean file of weights, also from other projects"),
    "gradcam": Command(f"{_HERE}.gradcam", "Grad-CAM of images, or of the similarity of two"),
    "results-table": Command(f"{_HERE}.results_table", "a Markdown table from run records"),
    "evidence": Command(f"{_HERE}.evidence", "train what the papers claim, and tabulate it"),
    "benchmark": Command(f"{_HERE}.benchmark", "compare time and memory side by side"),
    "gpu": Command(f"{_HERE}.gpu", "run tests, benchmarks and short runs on a GPU"),
    "check-data": Command(f"{_HERE}.check_data", "check a folder of your own pictures"),
    "draw-demo": Command(f"{_HERE}.draw_demo", "draw the synthetic demo set", needs_host=False),
    "doctor": Command(f"{_HERE}.doctor", "find what is wrong with an installation", needs_host=False),
}


def commands() -> dict[str, Command]:
    """Return all commands by name: those of the core, then those of the papers."""
    from fastreid_projects.plugins import PAPERS

    found = dict(COMMANDS)
    for paper in PAPERS.values():
        found |= {name: Command(module, summary) for name, module, summary in paper.commands}
    return found


def run_command(name: str, argv: Sequence[str], program: str) -> int:
    """Parse the words after a command's name and run the command.

    Args:
        name: one of :func:`commands`; for an unknown name, the nearest one is suggested.
        argv: the words.
        program: the start of the usage line.

    Returns:
        The exit code: 0, 1 for an internal error, 2 for an error of the user, else 128 plus the number of the signal.
    """
    known = commands()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(known)}"
        print(f"error: there is no command {name}; {hint}", file=sys.stderr)
        return 2
    command = known[name]
    if command.needs_host and not has_host() and not {"-h", "--help"} & set(argv):
        print(f"error: {HOW_TO_INSTALL}", file=sys.stderr)
        return 2
    with _ended_at_once():
        module = importlib.import_module(command.module)
        parser: argparse.ArgumentParser = module.argument_parser()
        parser.prog = program
        args = parser.parse_args(list(argv))

    def work() -> None:
        with _ended_at_once():
            getattr(module, "prepare", lambda: None)()
        module.run(args)

    return one_sentence(work, debug=getattr(args, "debug", False))


@contextlib.contextmanager
def _ended_at_once() -> Iterator[None]:
    """Let Ctrl-C print one line: importing takes seconds, and there is nothing to stop yet."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    answer = signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, answer)


def _end(signum: int, frame: object) -> None:
    os.write(2, b"Interrupted\n")
    os._exit(128 + signum)


def run_tool(name: str) -> int:
    """Run a command from ``tools/``, where each file has the name of its command."""
    return run_command(name, sys.argv[1:], os.path.basename(sys.argv[0]))
