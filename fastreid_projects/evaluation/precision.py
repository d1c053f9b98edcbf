"""The precision at each match of a ranking, whose mean is the average precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

PRECISION, TRAPEZOID = FORMULAS = ("precision", "trapezoid")  # the values of TEST.AP


def precisions(
    number: npt.NDArray[Any], position: npt.NDArray[Any], *, trapezoids: bool = False
) -> npt.NDArray[np.float64]:
    """Return the precision at each match.

    Args:
        number: the number of each match, from 1.
        position: the position of each match among the images that count, from 0.
        trapezoids: whether to average the precisions at the match and just before it (1 before the first image). This
            gives the area below the precision-recall curve as the code of Oxford5k and Market-1501 computes it.

    Example:
        >>> precisions(np.array([1, 2]), np.array([0, 3]), trapezoids=True).tolist()
        [1.0, 0.41666666666666663]
    """
    at: npt.NDArray[np.float64] = number / (position + 1.0)
    if not trapezoids:
        return at
    before = np.divide(number - 1.0, position, out=np.ones_like(at), where=position > 0)
    return (at + before) / 2
