"""The error for an unknown name, which suggests the nearest known one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from fastreid_projects.config.old_names import about_old_value
from fastreid_projects.errors import ConfigError


def unknown_name(key: str, value: Any, known: Iterable[Any]) -> ConfigError:
    """Return the error for a config key whose value is not one of the known names.

    Example:
        >>> print(unknown_name("SOLVER.OPT", "Adm", ["Adam", "SGD"]))
        SOLVER.OPT 'Adm' is not known, did you mean 'Adam'? Known are: Adam, SGD.
    """
    names = [str(name) for name in known]
    folded = {name.lower(): name for name in reversed(names)}
    nearest = difflib.get_close_matches(str(value).lower(), list(folded), n=1, cutoff=0.5)
    hint = f", did you mean '{folded[nearest[0]]}'?" if nearest else "."
    today = about_old_value(key, value)
    if today:
        hint = f": this name of FastReID before 1.0 is {today} today."
    return ConfigError(f"{key} '{value}' is not known{hint} Known are: {', '.join(names) or 'none'}.")
