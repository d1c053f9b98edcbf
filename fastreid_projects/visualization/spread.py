"""Some of many, for pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def evenly_spread(items: Sequence[T], count: int) -> list[T]:
    """At most ``count`` of the items in their order, from the first to the last, at even distances."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round()
    return [items[int(i)] for i in places]
