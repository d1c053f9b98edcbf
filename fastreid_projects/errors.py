"""Errors caused by the user's input; the message is one sentence that names the cause and says what to do.

The tools print such an error as their last line, without a traceback (unless ``--debug`` is given), and exit with 2.
"""

from __future__ import annotations

import sys


class UserError(Exception):
    """Base of all errors that a user can fix; ``str(error)`` is one clear sentence.

    Attributes:
        exit_code: the exit code of a tool that ends with this error.
    """

    exit_code = 2

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ConfigError(UserError, ValueError, KeyError):
    """A config key or value is unknown, has the wrong type or contradicts another one."""

    __str__ = UserError.__str__


class DataError(UserError, ValueError, RuntimeError):
    """A folder, an image, an attribute file or features cannot be used."""

    __str__ = UserError.__str__


class WeightsError(UserError, RuntimeError):
    """A weights file is missing, unreadable or belongs to another model."""


class TrainingError(UserError, FloatingPointError):
    """Training cannot continue: a value is NaN, or weights do not move."""


class InterruptedRunError(UserError):
    """Ctrl-C or SIGTERM ended a run; the message says how to resume it.

    Args:
        message: the sentence to print.
        signum: the signal; the exit code is 128 + signum, as in a shell.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message, signum)
        self.exit_code = 128 + signum


class ExportError(UserError, RuntimeError):
    """A model cannot be exported, or the exported model differs from it."""


class MissingExtraError(UserError, ModuleNotFoundError):
    """A package that only one command needs is not installed."""


class HostMissingError(UserError, ModuleNotFoundError):
    """FastReID itself is not installed."""


class NameTakenError(UserError, ValueError, AssertionError):
    """Two losses, pooling layers, backbones, heads, architectures or datasets have the same name."""


def name_taken(what: str, name: str, first: object) -> NameTakenError:
    """Return the error for a second object with a name that is already registered.

    Args:
        what: the kind of object, e.g. ``"loss"``.
        name: the name of both objects.
        first: the class or function that already has the name, or the module that it is defined in.
    """
    module = first if isinstance(first, str) else str(getattr(first, "__module__", ""))
    file = getattr(sys.modules.get(module), "__file__", None) or module
    return NameTakenError(
        f"the {what} {name} is already registered by {file}; give one of the two another name"
    )
