"""Train on a share of the identities (data efficiency, Yan et al. 2022, fig. 6 and 7)."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from typing import Any

from fastreid_projects.errors import ConfigError

logger = logging.getLogger("fastreid.projects.identities")


def keep_identities(items: Sequence[Any], fraction: float, seed: int = 0) -> list[Any]:
    """Keep a random share of the identities.

    The same seed keeps the same identities, and those of a smaller fraction are among those of a larger one.

    Args:
        items: training items (path, identity, camera, ...).
        fraction: share of the identities to keep, above 0 and at most 1; at least two are kept.
        seed: seed of the choice, independent of the run's.

    Returns:
        The items of these identities, in order.

    Raises:
        ConfigError: the fraction is out of range.
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"DATASETS.ID_FRACTION is {fraction} but has to be above 0 and at most 1")
    if fraction == 1:
        return list(items)
    identities = sorted({item[1] for item in items}, key=str)
    random.Random(seed).shuffle(identities)
    kept = set(identities[: max(2, round(fraction * len(identities)))])
    logger.info("DATASETS.ID_FRACTION %g keeps %d of %d identities", fraction, len(kept), len(identities))
    return [item for item in items if item[1] in kept]
