"""How strongly a batch pulls its positives while it pushes its negatives: this depends on beta and the batch.

| letter | meaning                             |
| ------ | ----------------------------------- |
| S      | identities of the batch             |
| A      | images of each identity             |
| u      | exp(-beta d) of all pairs, in 0..1  |

If all pairs have the same distance, as at the start of training, an anchor has A - 1 positives and (S - 1) A
negatives. For both kinds, the gradient by the distance is -beta u times the gradient by u. Beta therefore decides where
on the curve training starts, but not the shape of the curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from .curves import write_csv, write_figure
from .losses import pair_losses

BATCHES = ((8, 16), (8, 4), (16, 4))  # of the paper, of the small twins, of BoT


def pull_against_push(u: Tensor, identities: int, images: int, alpha: float = 1.05) -> Tensor:
    """Return the pull of an anchor's positives over the push of its negatives, if all pairs have the same distance.

    Below 1, the distances in a batch grow, even those of one identity; above 1 they shrink.

    Args:
        u: exp(-beta d) in 0..1, of any shape, float64.
        identities: S, at least 2.
        images: A.
        alpha: alpha of Eq. 5.
    """
    distances = (-u.log()).detach().requires_grad_()  # beta 1
    slopes = []
    for same in (True, False):
        losses = pair_losses(distances, torch.full_like(distances, same, dtype=torch.bool), alpha, beta=1.0)
        slopes.append(torch.autograd.grad(losses.sum(), distances)[0])
    pull, push = slopes[0], -slopes[1]
    return (images - 1) * pull / ((identities - 1) * images * push)


def balance_point(identities: int, images: int, alpha: float = 1.05) -> float:
    """Return the u at which pull and push are equal; 0 if it is below the smallest normal float32."""
    low, high = math.log(torch.finfo(torch.float32).tiny), 0.0
    if _ratio(low, identities, images, alpha) < 1:
        return 0.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _ratio(middle, identities, images, alpha) > 1 else (low, middle)
    return math.exp(low)


def _ratio(log_u: float, identities: int, images: int, alpha: float) -> float:
    u = torch.tensor(math.exp(log_u), dtype=torch.float64)
    return pull_against_push(u, identities, images, alpha).item()


def write_balance(
    folder: str | Path, alpha: float = 1.05, batches: Sequence[tuple[int, int]] = BATCHES
) -> list[Path]:
    """Write ``balance.csv`` and ``balance.png``: the ratio of pull to push over u, for each batch.

    Returns:
        Both paths.
    """
    u = torch.logspace(-6, math.log10(0.99), 200, dtype=torch.float64)
    names = [f"{identities} x {images}" for identities, images in batches]
    columns = [pull_against_push(u, *batch, alpha).tolist() for batch in batches]
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, column in zip(names, columns, strict=True):
        axes.plot(u, column, label=name)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(
        xscale="log", yscale="log", xlabel="u = exp(-beta d) of all pairs", ylabel="pull of positives / push"
    )
    axes.set_title(f"below the line every pair is pushed apart; alpha {alpha:g}", fontsize=10)
    axes.legend(title="identities x images")
    rows = [list(row) for row in zip(u.tolist(), *columns, strict=True)]
    return [
        write_csv(Path(folder) / "balance.csv", ("u", *names), rows),
        write_figure(Path(folder) / "balance.png", figure),
    ]
