"""A command line parser that accepts options in any order."""

from __future__ import annotations

import argparse
import re
import sys
from collections import deque
from typing import Any

# The first word of a KEY VALUE pair: MODEL.WEIGHTS, or one of the few keys without a group.
_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Za-z0-9_]+)+|SEED|OUTPUT_DIR|CUDNN_BENCHMARK|PLUGINS|STAGES")


class AnyOrderParser(argparse.ArgumentParser):
    """A parser that also finds options after ``KEY VALUE`` pairs, where argparse would take them for pairs.

    The words of a list (``--images a.jpg b.jpg``) end where a pair starts.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the arguments as argparse does."""
        return super().parse_known_args(
            self._options_first(sys.argv[1:] if args is None else args), namespace
        )

    def _options_first(self, args: Any) -> list[str]:
        lists: list[str] = []
        options: list[str] = []
        pairs: list[str] = []
        words = deque(args)
        while words:
            word = words.popleft()
            action = self._action(word)
            if action is None:
                (options if word.startswith("--") else pairs).append(word)
            elif action.nargs in ("+", "*"):
                lists += [word, *_list_words(words)]
            elif action.nargs == "?":
                given = words and words[0] in (action.choices or ())
                options.append(f"{word}={words.popleft() if given else action.const}")
            elif isinstance(action.nargs, int):
                options += [word, *(words.popleft() for _ in range(min(action.nargs, len(words))))]
            elif words:
                options.append(f"{word}={words.popleft()}")
            else:
                pairs.append(word)
        return [*lists, *options, *(["--"] if lists and pairs else []), *pairs]

    def _action(self, word: str) -> argparse.Action | None:
        """Return the action of an option or its prefix; None for a word of a pair, and for ``--option=value``."""
        known = self._option_string_actions
        meant = [known[option] for option in known if word.startswith("-") and option.startswith(word)]
        return known.get(word) or (meant[0] if len(meant) == 1 else None)


def _list_words(words: deque[str]) -> list[str]:
    """Remove the words of a list from a command line and return them."""
    found = []
    while words and not words[0].startswith("-") and not _KEY.fullmatch(words[0]):
        found.append(words.popleft())
    return found


def add_config_arguments(parser: argparse.ArgumentParser, what: str = "the model") -> None:
    """Add ``--config-file``, ``--debug`` and the trailing pairs, which nearly every command has."""
    parser.add_argument("--config-file", required=True, help=f"YAML of {what}, or the config.yaml of its run")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("opts", nargs="*", help="KEY VALUE pairs, including MODEL.WEIGHTS")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of commands with a trained model: ``--config-file``, ``--weights``, ``--debug`` and pairs."""
    parser.add_argument(
        "--config-file",
        required=True,
        help="YAML file of the model, or the folder of its run, which needs no --weights",
    )
    parser.add_argument(
        "--weights", default="", help="a checkpoint (default: model_final.pth of the config's run)"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("opts", nargs="*", help="KEY VALUE pairs")
