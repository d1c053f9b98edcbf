"""Gather the batch of all processes for a pair loss, with gradients.

Every process then computes the same loss of the joined batch. Its gradient is that of the losses of all processes
together, so that DistributedDataParallel, which averages over the processes, gives the parameters exactly the gradient
that one process with the joined batch would give them. This module needs only torch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from fastreid_projects.losses.distances import wide


def gather_batch(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Join the batches of all processes in the order of their ranks; every process has to call it.

    Args:
        features: (n, D) of this process; n may differ between processes.
        labels: (n,) identities, with the same numbers on all processes.

    Returns:
        features (N, D), at least float32, and labels (N,); unchanged in a single process.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return features, labels
    sizes = _sizes(features)
    return _Gather.apply(wide(features), sizes), _join(labels, sizes)


def _sizes(features: Tensor) -> list[int]:
    own = torch.tensor([len(features)], device=features.device)
    sizes = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, own)
    return [int(size) for size in sizes]


def _join(values: Tensor, sizes: list[int]) -> Tensor:
    """Concatenate over the processes; shorter tensors are padded meanwhile, because all_gather needs equal sizes."""
    filled = values.new_zeros((max(sizes), *values.shape[1:]))
    filled[: len(values)] = values
    parts = [torch.empty_like(filled) for _ in sizes]
    dist.all_gather(parts, filled)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


class _Gather(torch.autograd.Function):
    """Join in the forward pass; sum the gradients of this process's rows over all processes in the backward pass."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, sizes: list[int]) -> Tensor:
        rank = dist.get_rank()
        ctx.rows = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        return _join(features, sizes)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.rows], None
