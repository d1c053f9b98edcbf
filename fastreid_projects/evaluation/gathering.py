"""Gather the predictions of all processes."""

from __future__ import annotations

import itertools
from typing import Any


def gather_predictions(predictions: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Return the predictions of all processes, in order; None on all but the main process."""
    from fastreid.utils import comm

    if comm.get_world_size() == 1:
        return predictions
    comm.synchronize()
    gathered = comm.gather(predictions, dst=0)
    return list(itertools.chain.from_iterable(gathered)) if comm.is_main_process() else None
