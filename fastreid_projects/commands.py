"""What all commands share: options in any order, one sentence for a mistake, the exit code that goes with it."""

from __future__ import annotations

import argparse
import signal
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from fastreid_projects.errors import InterruptedRunError, UserError


class AnyOrderParser(argparse.ArgumentParser):
    """A parser that finds its options also behind ``KEY VALUE`` pairs, where argparse would take them for pairs."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read the arguments; see argparse."""
        return super().parse_known_args(
            self._options_first(sys.argv[1:] if args is None else args), namespace
        )

    def _options_first(self, args: Any) -> list[str]:
        options: list[str] = []
        pairs: list[str] = []
        words = deque(args)
        while words:
            word = words.popleft()
            action = self._action(word)
            if action is None:
                (options if word.startswith("--") else pairs).append(word)
            elif action.nargs == "?":
                given = words and words[0] in (action.choices or ())
                options.append(f"{word}={words.popleft() if given else action.const}")
            elif action.nargs is None:
                if words:
                    options.append(f"{word}={words.popleft()}")
                else:
                    pairs.append(word)
            else:
                options.append(word)
        return [*options, *pairs]

    def _action(self, word: str) -> argparse.Action | None:
        """What an option or its beginning stands for; None for a pair's word, and for ``--option=value``."""
        known = self._option_string_actions
        meant = [known[option] for option in known if word.startswith("-") and option.startswith(word)]
        return known.get(word) or (meant[0] if len(meant) == 1 else None)


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
