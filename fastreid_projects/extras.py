"""Packages that only one command needs, and which need not be installed."""

from __future__ import annotations

import importlib
from typing import Any

from fastreid_projects.errors import MissingExtraError


def need(module: str, extra: str, what: str) -> Any:
    """Import a package of an extra.

    Args:
        module: e.g. ``"onnx"`` or ``"captum.attr"``.
        extra: the extra of this project that installs it.
        what: what needs it, as the start of the error message.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.split(".", 1)[0]
        if error.name is None or error.name.split(".", 1)[0] != package:
            raise
        raise MissingExtraError(
            f"{what} needs {package}, which is not installed: pip install 'fastreid-projects[{extra}]'"
        ) from error
