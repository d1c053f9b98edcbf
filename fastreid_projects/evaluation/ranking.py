"""CMC, mAP and mINP of a retrieval, computed from distances that arrive in chunks of queries.

| letter | meaning                                  |
| ------ | ---------------------------------------- |
| Q      | number of queries                        |
| G      | number of gallery images                 |
| V      | number of queries with at least one match |
| C      | number of queries in one chunk           |

The protocol is that of Market-1501: gallery images with the query's identity *and* camera are left out, and a query
without a remaining match is skipped. Tied images are in the order of numpy's default ``argsort`` of each row, as in the
host, or all their orders are averaged (``expected_ties``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.evaluation.expected import Expected
from fastreid_projects.evaluation.precision import precisions
from fastreid_projects.evaluation.ties import TiedQuery, Ties, tied_queries

Distances = npt.NDArray[np.floating[Any]] | torch.Tensor
Labels = npt.ArrayLike | torch.Tensor


@dataclass(frozen=True)
class RankingResult:
    """The result of a :class:`RankingMeter`; all shares are in 0..1.

    Attributes:
        cmc: (max_rank,) the share of valid queries with a match among the first 1, 2, ... gallery images.
        ap: (V,) the average precision of each valid query.
        inp: (V,) the inverse negative penalty of each valid query.
        valid: (Q,) bool, whether the query has a match at all.
        first_hit: (Q,) the 0-based position of the first match among the kept gallery images, -1 for invalid queries.
        ties: the possible effect of equal distances.
        distractors: the number of gallery images whose identity no query has.
        expected: for each tied query, if all orders are averaged: its first match in the current order, and the means
            in ``cmc``, ``ap`` and ``inp``.
    """

    cmc: npt.NDArray[np.float64]
    ap: npt.NDArray[np.float64]
    inp: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_]
    first_hit: npt.NDArray[np.int64]
    ties: Ties
    distractors: int
    expected: tuple[tuple[int, Expected], ...] = ()

    @property
    def num_valid(self) -> int:
        """The number of queries that have a match."""
        return len(self.ap)

    @property
    def mAP(self) -> float:
        """The mean average precision over the valid queries."""
        return float(self.ap.mean())

    @property
    def mINP(self) -> float:
        """The mean inverse negative penalty over the valid queries."""
        return float(self.inp.mean())

    def rank(self, k: int) -> float:
        """Return the share of valid queries with a match among the first ``k`` (any ``k`` >= 1) gallery images."""
        hits = int((self.first_hit[self.valid] < k).sum())
        more = sum(means.within(k) - (first < k) for first, means in self.expected)
        return float((hits + more) / self.num_valid)


class RankingMeter:
    """Rank a fixed gallery for queries that arrive chunk by chunk; memory grows with C x G, not with Q x G.

    Args:
        gallery_pids: (G,) identities.
        gallery_camids: (G,) cameras.
        max_rank: the length of the CMC curve.
        expected_ties: whether scores are means over all orders of equally distant images, instead of those of the
            sorted order.
        trapezoids: the form of average precision, as in :func:`.precision.precisions`.

    Raises:
        DataError: the gallery is empty, or its labels differ in number.
    """

    def __init__(
        self,
        gallery_pids: Labels,
        gallery_camids: Labels,
        max_rank: int = 50,
        *,
        expected_ties: bool = False,
        trapezoids: bool = False,
    ) -> None:
        self._pids, self._camids = _labels(gallery_pids), _labels(gallery_camids)
        self._max_rank, self._expected_ties, self._trapezoids = max_rank, expected_ties, trapezoids
        if len(self._pids) != len(self._camids):
            raise DataError(f"The gallery has {len(self._pids)} identities but {len(self._camids)} cameras.")
        if len(self._pids) == 0:
            raise DataError("The gallery is empty: give at least one gallery image to rank.")
        self._ap: list[npt.NDArray[np.float64]] = []
        self._inp: list[npt.NDArray[np.float64]] = []
        self._first: list[npt.NDArray[np.int64]] = []
        # With the average precision that counts, and the first hit in the current order.
        self._tied: list[tuple[float, int, TiedQuery]] = []
        self._id_seen = False
        self._query_pids: list[npt.NDArray[Any]] = []

    def update(self, distances: Distances, query_pids: Labels, query_camids: Labels) -> None:
        """Rank the gallery for C more queries.

        Args:
            distances: (C, G), smaller is nearer.
            query_pids: (C,) identities.
            query_camids: (C,) cameras.

        Raises:
            DataError: the shapes do not fit, or a distance is NaN.
        """
        matrix = _matrix(distances)
        pids, camids = _labels(query_pids), _labels(query_camids)
        if matrix.shape != (len(pids), len(self._pids)) or len(pids) != len(camids):
            raise DataError(
                f"Distances of shape {matrix.shape} do not fit {len(pids)} query identities, {len(camids)} "
                f"query cameras and {len(self._pids)} gallery images."
            )
        if np.isnan(matrix).any():
            raise DataError("Some distances are NaN: check the features before they are compared.")
        self._query_pids.append(pids)
        if len(pids):
            self._rank(matrix, pids, camids)

    def _rank(self, matrix: npt.NDArray[Any], pids: npt.NDArray[Any], camids: npt.NDArray[Any]) -> None:
        order = np.argsort(matrix, axis=1)
        same_id = pids[:, None] == self._pids[None, :]
        ordered = np.take_along_axis(same_id, order, axis=1)
        rows, positions = np.nonzero(ordered)
        self._id_seen |= bool(len(rows))
        same_camera = self._camids[order[rows, positions]] == camids[rows]
        tied = tied_queries(matrix, order, ordered, ~same_camera, trapezoids=self._trapezoids)
        left_out_before = _cumulative_in_row(same_camera, rows)
        rows, positions = rows[~same_camera], (positions - left_out_before)[~same_camera]

        count = np.bincount(rows, minlength=len(pids))
        valid = count > 0
        number = _cumulative_in_row(np.ones(len(rows), dtype=bool), rows)  # 1, 2, ... within each query
        precision = precisions(number, positions, trapezoids=self._trapezoids)
        precision_sum = np.bincount(rows, weights=precision, minlength=len(pids))
        starts = np.cumsum(count) - count
        first = np.full(len(pids), -1, dtype=np.int64)
        first[valid] = positions[starts[valid]]
        last = positions[(starts + count - 1)[valid]]
        ap, inp = precision_sum[valid] / count[valid], count[valid] / (last + 1.0)
        number_valid = np.cumsum(valid) - 1
        for query in tied:
            place = number_valid[query.row]
            if self._expected_ties:
                ap[place], inp[place] = query.expected.ap, query.expected.inp
            self._tied.append((ap[place], int(first[query.row]), query))
        self._ap.append(ap)
        self._inp.append(inp)
        self._first.append(first)

    def compute(self) -> RankingResult:
        """Return the result over all queries so far.

        Raises:
            DataError: no query has a match; the message names the cause.
        """
        first_hit = np.concatenate(self._first) if self._first else np.empty(0, dtype=np.int64)
        valid = first_hit >= 0
        queries = np.concatenate(self._query_pids) if self._query_pids else np.empty(0)
        if not valid.any():
            raise DataError(why_no_match(queries, self._pids, self._camids, self._id_seen))
        hits = np.bincount(np.minimum(first_hit[valid], self._max_rank), minlength=self._max_rank + 1)
        counts = np.cumsum(hits[: self._max_rank]).astype(np.float64)
        expected = tuple((first, query.expected) for _, first, query in self._tied if self._expected_ties)
        for first, means in expected:
            counts += [means.within(k) - (first < k) for k in range(1, self._max_rank + 1)]
        return RankingResult(
            cmc=counts / valid.sum(),
            ap=np.concatenate(self._ap),
            inp=np.concatenate(self._inp),
            valid=valid,
            first_hit=first_hit,
            ties=self._ties(first_hit[valid]),
            distractors=int((~np.isin(self._pids, queries)).sum()),
            expected=expected,
        )

    def _ties(self, first_hit: npt.NDArray[np.int64]) -> Ties:
        """Return the effect that ties can have on mAP and Rank-1; ``first_hit`` (V,) is that of the current order."""
        count = len(first_hit)
        precision = float(sum(ap.sum() for ap in self._ap) - sum(ap for ap, _, _ in self._tied))
        hits = int((first_hit == 0).sum()) - sum(first == 0 for _, first, _ in self._tied)

        def end(side: int) -> tuple[float, float]:
            ap = sum(query.ap[side] for *_, query in self._tied)
            hit = sum(query.hit[side] for *_, query in self._tied)
            return (precision + ap) / count, (hits + hit) / count

        (least_map, least_hit), (greatest_map, greatest_hit) = end(0), end(1)
        return Ties(len(self._tied), (least_map, greatest_map), (least_hit, greatest_hit))


def own_cameras(count: int, paths: Sequence[str] = ()) -> npt.NDArray[np.int64]:
    """Return cameras (N,), one for each picture, so that every match counts except for the query's own picture.

    Args:
        count: N, the number of queries and gallery images.
        paths: the paths of the N images, if known; a picture in both query and gallery gets the same camera in both.
    """
    if len(paths) != count:
        return np.arange(count)
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(path, len(numbers)) for path in paths], dtype=np.int64)


def why_no_match(query_pids: Labels, gallery_pids: Labels, gallery_camids: Labels, id_seen: bool) -> str:
    """Return a sentence that says why no query has a match.

    Args:
        query_pids: (Q,) identities.
        gallery_pids: (G,) identities.
        gallery_camids: (G,) cameras.
        id_seen: whether the gallery holds an identity of any query.
    """
    queries, gallery, cameras = (np.unique(_labels(v)) for v in (query_pids, gallery_pids, gallery_camids))
    if not len(queries):
        return "There are no query images to rank: give at least one."
    if id_seen:
        return (
            "Every gallery image with a query's identity was taken by the query's own camera and is left "
            f"out (the gallery has {len(cameras)} camera(s): {_some(cameras)}): ranking needs each "
            "identity under at least two cameras, check the camera ids, or count such matches with "
            "TEST.SAME_CAMERA True."
        )
    return (
        f"No query identity ({_some(queries)}) occurs in the gallery "
        f"({_some(gallery)}): check that query and gallery belong together."
    )


def evaluate_rank(
    distmat: Distances,
    q_pids: Labels,
    g_pids: Labels,
    q_camids: Labels,
    g_camids: Labels,
    max_rank: int = 50,
    use_metric_cuhk03: bool = False,
    use_cython: bool = True,
) -> tuple[npt.NDArray[np.float32], list[float], list[float]]:
    """Rank a whole (Q, G) distance matrix; replaces the host's ``evaluation/rank.py:evaluate_rank``.

    The CMC is always ``max_rank`` long; beyond the last gallery image it keeps its final value.
    ``use_cython`` is accepted and ignored.

    Returns:
        The CMC (max_rank,), and for each valid query the average precision and the inverse negative penalty.

    Raises:
        ConfigError: the old CUHK03 protocol is requested.
        DataError: no query has a match.
    """
    if use_metric_cuhk03:
        raise ConfigError(
            "use_metric_cuhk03 (the old protocol, one random gallery image per identity) is not available: "
            "use the new CUHK03 split, which is evaluated like Market-1501."
        )
    matrix, pids, camids = _matrix(distmat), _labels(q_pids), _labels(q_camids)
    meter = RankingMeter(g_pids, g_camids, max_rank)
    for start in range(0, len(pids), 256):
        part = slice(start, start + 256)
        meter.update(matrix[part], pids[part], camids[part])
    result = meter.compute()
    return result.cmc.astype(np.float32), result.ap.tolist(), result.inp.tolist()


def _labels(values: Labels) -> npt.NDArray[Any]:
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    return array.reshape(-1)


def _matrix(distances: Distances) -> npt.NDArray[Any]:
    if isinstance(distances, torch.Tensor):
        tensor = distances.detach().cpu()
        return (tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor).numpy()
    return np.asarray(distances)


def _cumulative_in_row(flags: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count the true flags up to and including each entry, from 0 in each row; ``rows`` is sorted."""
    total = np.cumsum(flags)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    before: npt.NDArray[np.int64] = np.repeat(
        total[starts] - flags[starts], np.diff(starts, append=len(rows))
    )
    return total - before


def _some(values: Sequence[Any] | npt.NDArray[Any], most: int = 5) -> str:
    return ", ".join(str(value) for value in values[:most]) + (", ..." if len(values) > most else "")
