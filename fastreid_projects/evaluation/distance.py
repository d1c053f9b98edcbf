"""Distances between query and gallery features, made in chunks of queries.

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


@torch.no_grad()
def iter_distances(
    query: torch.Tensor,
    gallery: torch.Tensor,
    metric: str = "euclidean",
    chunk: int = 256,
    device: torch.device | str | None = None,
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yield the distance matrix in chunks of rows.

    ``"euclidean"`` is the *squared* Euclidean distance, as in the host (``utils/compute_dist.py:163``): the
    ranking is the same. ``"cosine"`` is one minus the cosine similarity. Both are computed in float32 and are
    at least 0.

    Args:
        query: (Q, D) features of any floating type.
        gallery: (G, D) features.
        metric: ``"euclidean"`` or ``"cosine"``.
        chunk: largest C.
        device: where to compute; by default where ``query`` lies.

    Yields:
        the queries' slice and their distances (C, G) as float32.

    Raises:
        ConfigError: unknown metric.
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
    others = _prepare(gallery, metric, device)
    others_squared = others.pow(2).sum(dim=1)
    for start in range(0, len(query), chunk):
        part = slice(start, min(start + chunk, len(query)))
        features = _prepare(query[part], metric, device)
        if metric == "cosine":
            distances = torch.mm(features, others.t()).neg_().add_(1)
        else:
            distances = features.pow(2).sum(dim=1, keepdim=True) + others_squared
            distances.addmm_(features, others.t(), beta=1, alpha=-2)
        yield part, distances.clamp_(min=0).cpu().numpy()


def _prepare(features: torch.Tensor, metric: str, device: torch.device) -> torch.Tensor:
    features = features.detach().to(device, torch.float32)
    return F.normalize(features, dim=1) if metric == "cosine" else features


def check_finite(features: torch.Tensor, names: Sequence[str] | None = None) -> None:
    """Raise where features (N, D) hold NaN or infinite values, which would rank without any error.

    Args:
        features: (N, D).
        names: N image names for the message; without them the row numbers are named.

    Raises:
        DataError: says how many images and names the first three.
    """
    bad = torch.nonzero(~torch.isfinite(features).flatten(1).all(dim=1)).flatten().tolist()
    if bad:
        first = ", ".join(str(names[i]) if names else f"number {i}" for i in bad[:3])
        raise DataError(
            f"{len(bad)} of {len(features)} images have features with NaN or infinite values "
            f"({'first ' if len(bad) > 3 else ''}{first}): the weights are probably broken by a diverged "
            "training, load an earlier checkpoint."
        )
