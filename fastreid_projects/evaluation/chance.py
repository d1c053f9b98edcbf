"""The scores of a ranking in random order, with which to compare those of a model.

| letter | meaning                          |
| ------ | -------------------------------- |
| Q, G   | number of queries, gallery images |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from fastreid_projects.evaluation.expected import expected_scores

Labels = npt.ArrayLike | torch.Tensor


def chance_scores(
    query_pids: Labels,
    query_camids: Labels,
    gallery_pids: Labels,
    gallery_camids: Labels,
    ranks: tuple[int, ...] = (1, 5, 10),
) -> dict[str, float]:
    """Return ``Rank-k``, ``mAP`` and ``mINP`` in per cent, the means over all orders of the gallery.

    Images that the protocol leaves out of a query's ranking are left out, and queries without a match do not count.

    Args:
        query_pids: (Q,) identities.
        query_camids: (Q,) cameras.
        gallery_pids: (G,) identities.
        gallery_camids: (G,) cameras.
        ranks: the k of Rank-k.

    Returns:
        The scores; {} if no query has a match.

    Example:
        >>> chance_scores([1], [0], [1, 2], [1, 1], ranks=(1,))
        {'Rank-1': 50.0, 'mAP': 75.0, 'mINP': 75.0}
    """
    pids, cameras = np.asarray(gallery_pids), np.asarray(gallery_camids)
    of_person = Counter(pids.tolist())
    by_camera = Counter(zip(pids.tolist(), cameras.tolist(), strict=True))
    return random_scores(
        (
            (of_person[person] - by_camera[person, camera], len(pids) - of_person[person])
            for person, camera in zip(
                np.asarray(query_pids).tolist(), np.asarray(query_camids).tolist(), strict=True
            )
        ),
        ranks,
    )


def random_scores(
    queries: Iterable[tuple[int, int]], ranks: tuple[int, ...] = (1, 5, 10)
) -> dict[str, float]:
    """Return the same scores for queries given by their numbers of matches and of other images.

    Args:
        queries: (matches, other images); those without a match do not count.
        ranks: the k of Rank-k.
    """
    alike = Counter(query for query in queries if query[0])
    if not alike:
        return {}
    scores = [(count, expected_scores(np.zeros(m), np.zeros(e))) for (m, e), count in alike.items()]
    total = alike.total() / 100
    return {f"Rank-{k}": sum(n * s.within(k) for n, s in scores) / total for k in ranks} | {
        "mAP": sum(n * s.ap for n, s in scores) / total,
        "mINP": sum(n * s.inp for n, s in scores) / total,
    }
