"""Multiple queries: all images of an identity by the same camera form one query (Zheng et al. 2015).

| letter | meaning                                   |
| ------ | ----------------------------------------- |
| Q      | query images                              |
| V      | queries: pairs of an identity and a camera |
| D      | size of a feature                         |
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Ints = npt.NDArray[np.integer]


def merge_queries(
    features: Tensor, pids: Ints, camids: Ints, *, normalize: bool
) -> tuple[Tensor, Ints, Ints]:
    """Average the features of the same identity and camera.

    Args:
        features: (Q, D).
        pids: (Q,).
        camids: (Q,).
        normalize: whether to average directions, for the cosine distance.

    Returns:
        Features (V, D), identities (V,) and cameras (V,), sorted by identity and camera.

    Example:
        >>> f = torch.tensor([[1.0, 0.0], [4.0, 0.0], [3.0, 0.0]])
        >>> merge_queries(f, np.array([7, 7, 7]), np.array([0, 1, 0]), normalize=False)[0].tolist()
        [[2.0, 0.0], [4.0, 0.0]]
    """
    pairs, index = np.unique(np.stack([pids, camids], 1), axis=0, return_inverse=True)
    where = torch.from_numpy(index.reshape(-1)).to(features.device)
    given = F.normalize(features, dim=1) if normalize else features
    sums = features.new_zeros(len(pairs), features.shape[1]).index_add(0, where, given)
    counts = torch.bincount(where, minlength=len(pairs)).to(features.dtype)
    return sums / counts[:, None], pairs[:, 0], pairs[:, 1]
