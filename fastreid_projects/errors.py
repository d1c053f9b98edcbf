"""What goes wrong because of the input, said in one sentence that names the culprit and the way out.

The tools print such an error as their last line, without a traceback (unless ``--debug``), and exit with 2.
"""

from __future__ import annotations

import sys


class UserError(Exception):
    """Base of all errors that a user can mend; ``str(error)`` is one clear sentence.

    Attributes:
        exit_code: of a tool that ends with it.
    """

    exit_code = 2

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ConfigError(UserError, ValueError, KeyError):
    """A config key or value that is unknown, of the wrong type or contradicts another."""

    __str__ = UserError.__str__


class DataError(UserError, ValueError, RuntimeError):
    """A folder, an image, an attribute file or features that cannot be used."""

    __str__ = UserError.__str__


class WeightsError(UserError, RuntimeError):
    """A weights file that is missing, unreadable or belongs to another model."""


class TrainingError(UserError, FloatingPointError):
    """A training that cannot go on: NaN, or weights that do not move."""


class InterruptedRunError(UserError):
    """Ctrl-C or SIGTERM ended a run; the sentence says how to go on.

    Args:
        message: the sentence.
        signum: the signal; the exit code is 128 more, as a shell's is.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message, signum)
        self.exit_code = 128 + signum


class ExportError(UserError, RuntimeError):
    """A model that cannot be exported, or an exported one that is not equal to it."""


class MissingExtraError(UserError, ModuleNotFoundError):
    """A package that one command alone needs is not installed."""


class HostMissingError(UserError, ModuleNotFoundError):
    """FastReID itself is not installed."""


class NameTakenError(UserError, ValueError, AssertionError):
    """Two losses, pooling layers, backbones, heads, architectures or datasets of one name."""


def name_taken(what: str, name: str, first: object) -> NameTakenError:
    """Return the error for a second object of a name.

    Args:
        what: they are, e.g. ``"loss"``.
        name: of both.
        first: the class or function that has the name already, or the module that it is in.
    """
    module = first if isinstance(first, str) else str(getattr(first, "__module__", ""))
    file = getattr(sys.modules.get(module), "__file__", None) or module
    return NameTakenError(
        f"the {what} {name} is registered already, by {file}; give one of the two another name"
    )
