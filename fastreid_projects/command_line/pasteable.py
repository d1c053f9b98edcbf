"""The command that started this process, in a form that can be typed again."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence


def pasteable(argv: Sequence[str]) -> str:
    """Return a command for a shell: quoted, with ``python`` before a script, and with a relative path where possible.

    Args:
        argv: as ``sys.argv``; the first word is a script, the file of an ``-m`` module, or a command.
    """
    program, *words = argv
    here = os.getcwd()
    if os.path.isabs(program) and os.path.commonpath([here, os.path.abspath(program)]) == here:
        program = os.path.relpath(program, here)
    module = _module_of(program)
    if module:
        return shlex.join(["python", "-m", module, *words])
    return shlex.join([*(["python"] if program.endswith(".py") else []), program, *words])


def _module_of(program: str) -> str:
    """Return the module that was started by ``python -m``; "" for a script or a command."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    same = os.path.abspath(program) == os.path.abspath(getattr(main, "__file__", None) or "")
    return spec.name.removesuffix(".__main__") if spec is not None and same else ""
