"""Select some of many items, for pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def evenly_spread(items: Sequence[T], count: int) -> list[T]:
    """Return at most ``count`` of the items, evenly spaced from the first to the last, in order."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round()
    return [items[int(i)] for i in places]
