"""FIDI's benchmark case: pair losses side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from fastreid.modeling.losses import triplet_loss

from fastreid_projects.benchmarks.measure import Measurement, compare
from fastreid_projects.losses import LOSSES, batch_hard_triplet_loss
from fastreid_projects.plugins import register_all

from .contrastive import batch_hard_contrastive_loss
from .losses import fidi_loss


def pair_losses(quick: bool, device: str) -> list[Measurement]:
    """Compare pair losses, forward and backward, with the host's batch-hard triplet loss: 128 images, 2048-d.

    The batches are noise, 8 identities whose images are near each other, and images that are all near each other.
    """
    n, size = (32, 256) if quick else (128, 2048)
    generator = torch.Generator().manual_seed(0)
    noise, centres = (torch.randn(rows, size, generator=generator) for rows in (n, 8))
    labels = torch.arange(n, device=device) % 8
    batches = {
        "random": noise,
        "clustered": centres.repeat(n // 8, 1) + noise / 3000,
        "collapsed": centres[:1] + noise / 3000,
    }

    def step(features: torch.Tensor, loss: Callable[..., torch.Tensor], *options: Any) -> Callable[[], None]:
        def run() -> None:
            features.grad = None
            loss(features, labels, *options).backward()

        return run

    register_all()
    measured = []
    for batch, features in batches.items():
        features = features.to(device).requires_grad_()
        ways = [
            ("FIDI", step(features, fidi_loss)),
            ("batch-hard contrastive", step(features, batch_hard_contrastive_loss)),
            ("batch-hard triplet", step(features, batch_hard_triplet_loss)),
            ("quadruplet", step(features, LOSSES["QuadrupletHardLoss"]())),
            ("host's triplet", step(features, triplet_loss, 0.3, False, True)),
        ]
        for _, way in ways:  # buffers that a library allocates at the first call are not counted
            way()
        measured += compare(f"pair losses, {batch}", ways, repeats=5 if quick else 100, device=device)
    return measured


CASES = {"pair_losses": pair_losses}
