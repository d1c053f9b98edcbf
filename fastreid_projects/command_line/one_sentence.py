"""Errors of all commands: one sentence, and the exit code that goes with it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

from fastreid_projects.errors import InterruptedRunError, UserError


def one_sentence(work: Callable[[], Any], *, debug: bool) -> int:
    """Do the work; an error for the user ends it with one line on stderr and exit code 2, any other error with 1.

    A signal ends it with exit code 128 plus the number of the signal.
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
        package = _missing_package(error)
        if package:
            _say(
                f"error: the package {package} is not installed: run 'pip install fastreid-projects', or 'make "
                "install' in a checkout; 'fastreid-projects doctor' says what else is missing"
            )
            return 2
        reason = " ".join(str(error).split()) or "no reason given"
        _say(
            f"internal error: {type(error).__name__}: {reason}; run again with --debug to see where it happened"
        )
        return 1
    return 0


def _missing_package(error: Exception) -> str:
    """Return the package that an import did not find; "" for another error, or if it is a module of this project."""
    name = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    package = name.partition(".")[0]
    return "" if package == __name__.partition(".")[0] else package


def _say(sentence: str) -> None:
    """Print the last line on stderr, after everything in stdout's buffer."""
    sys.stdout.flush()
    print(sentence, file=sys.stderr)
