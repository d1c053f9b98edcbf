"""Distances between query and gallery features, computed in chunks of queries.

| letter | meaning                         |
| ------ | ------------------------------- |
| Q, G   | number of query, gallery images |
| C      | number of queries in one chunk  |
| D      | feature size                    |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from fastreid_projects.errors import ConfigError, DataError

METRICS = ("euclidean", "cosine")
_MOST_DISTANCES = 2**24  # 64 MiB, and twice as much to sort them


@torch.no_grad()
def iter_distances(
    query: torch.Tensor,
    gallery: torch.Tensor,
    metric: str = "euclidean",
    chunk: int = 256,
    device: torch.device | str | None = None,
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yield the distance matrix in chunks of rows.

    ``"euclidean"`` is the *squared* Euclidean distance, as in the host (``utils/compute_dist.py:163``), which gives the
    same ranking. ``"cosine"`` is one minus the cosine similarity. Both are computed in float32, from features minus
    their mean, and are at least 0.

    Args:
        query: (Q, D) features of any floating-point type.
        gallery: (G, D) features.
        metric: ``"euclidean"`` or ``"cosine"``.
        chunk: the largest C; it is smaller for large galleries, see :func:`row_chunks`.
        device: the device to compute on; by default that of ``query``.

    Yields:
        The slice of the queries and their distances (C, G) as float32.

    Raises:
        ConfigError: the metric is unknown.
        DataError: the features do not have the same size.
    """
    if metric not in METRICS:
        raise ConfigError(f"TEST.METRIC is '{metric}' but must be one of {', '.join(METRICS)}.")
    if query.dim() != 2 or gallery.dim() != 2 or query.shape[1] != gallery.shape[1]:
        raise DataError(
            f"Query features of shape {tuple(query.shape)} and gallery features of shape "
            f"{tuple(gallery.shape)} cannot be compared: both must be (images, size) of the same size."
        )
    device = query.device if device is None else torch.device(device)
    others, shift = comparable(gallery, metric, device=device)
    others_squared = others.pow(2).sum(dim=1)
    others_blank = _blank(gallery).to(device)
    for part in row_chunks(len(query), len(gallery), chunk):
        features, _ = comparable(query[part], metric, shift, device)
        distances = features.pow(2).sum(dim=1, keepdim=True) + others_squared
        distances.addmm_(features, others.t(), beta=1, alpha=-2).clamp_(min=0)
        if (
            metric == "cosine"
        ):  # 1 - x y of unit vectors is half their squared distance; a zero feature has distance 1
            blank = _blank(query[part]).to(device)[:, None]
            distances.mul_(0.5).add_((blank + others_blank) / 2)
        yield part, distances.cpu().numpy()


def row_chunks(queries: int, gallery: int, chunk: int) -> Iterator[slice]:
    """Yield slices of the queries (Q,) whose distances to the gallery (G,) fit into memory together.

    Args:
        queries: Q.
        gallery: G.
        chunk: the largest C; C x G stays below 2 ** 24, which half a million distractors would exceed by far.
    """
    rows = max(1, min(chunk, _MOST_DISTANCES // max(1, gallery)))
    for start in range(0, queries, rows):
        yield slice(start, min(start + rows, queries))


@torch.no_grad()
def comparable(
    features: torch.Tensor,
    metric: str,
    shift: torch.Tensor | None = None,
    device: torch.device | str | None = None,
    chunk: int = 4096,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prepare features for Euclidean distances: subtract a common shift, and for ``"cosine"`` scale to unit length.

    The shift does not change the distances, but keeps those of near images precise: |x|^2 + |y|^2 - 2xy is only
    rounding noise if the features are much longer than their distance.

    Args:
        features: (N, D) of any floating-point type.
        metric: ``"euclidean"`` or ``"cosine"``.
        shift: (D,), from the other side of the comparison; by default the mean of the features.
        device: the device to compute on; by default that of the features.
        chunk: the number of features that are in float64 at the same time.

    Returns:
        (N, D) in float32, and the shift.
    """
    device = features.device if device is None else torch.device(device)
    unit = metric == "cosine"
    parts = [part.detach().to(device) for part in features.split(chunk)]
    if shift is None:
        sums = [_double(part, unit).sum(dim=0) for part in parts]
        shift = torch.stack(sums).sum(dim=0) / max(len(features), 1)
    return torch.cat([(_double(part, unit) - shift).float() for part in parts]), shift


def _double(features: torch.Tensor, unit: bool) -> torch.Tensor:
    return F.normalize(features.double(), dim=1) if unit else features.double()


def _blank(features: torch.Tensor) -> torch.Tensor:
    """Return 1 for each of the features (N, D) that is zero, else 0; (N,) float32."""
    return (features == 0).all(dim=1).float()


def check_finite(features: torch.Tensor, names: Sequence[str] | None = None) -> None:
    """Refuse features (N, D) with NaN or infinite values, which would be ranked without an error.

    Args:
        features: (N, D).
        names: N image names for the error message; without them, row numbers are named.

    Raises:
        DataError: some features are not finite; the message gives their number and names the first three.
    """
    bad = torch.nonzero(~torch.isfinite(features).flatten(1).all(dim=1)).flatten().tolist()
    if bad:
        first = ", ".join(str(names[i]) if names else f"number {i}" for i in bad[:3])
        raise DataError(
            f"{len(bad)} of {len(features)} images have features with NaN or infinite values "
            f"({'first ' if len(bad) > 3 else ''}{first}): the weights are probably from training that "
            "diverged, load an earlier checkpoint."
        )
