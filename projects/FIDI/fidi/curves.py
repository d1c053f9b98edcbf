"""The loss curves of fig. 3: FIDI and the triplet loss as functions of the distance."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import torch

from fastreid_projects.files import write_aside

from .losses import pair_losses

COLUMNS = (
    "distance",
    "exponential",
    "sigmoid",
    "fidi_negative",
    "triplet_negative",
    "fidi_positive",
    "triplet_positive",
)


def loss_curves(
    alpha: float = 1.05, beta: float = 0.5, margin: float = 0.3, longest: float = 10.0, points: int = 201
) -> dict[str, list[float]]:
    """Return fig. 3 as numbers.

    The triplet loss [d(a, p) - d(a, n) + margin]_+ is drawn over one of its distances, while the other one is half the
    longest distance. The sigmoid is 2 / (1 + exp(beta d)), which is 1 at distance 0, like the exponential.

    Args:
        alpha: alpha of Eq. 5.
        beta: beta of Eq. 6.
        margin: the margin of the triplet loss.
        longest: the last distance.
        points: the number of distances.

    Returns:
        A list of numbers for each name of ``COLUMNS``.
    """
    d = torch.linspace(0, longest, points, dtype=torch.float64)
    same = torch.ones_like(d, dtype=torch.bool)
    columns = {
        "distance": d,
        "exponential": torch.exp(-beta * d),
        "sigmoid": 2 * torch.sigmoid(-beta * d),
        "fidi_negative": pair_losses(d, ~same, alpha, beta),
        "triplet_negative": (longest / 2 - d + margin).relu(),
        "fidi_positive": pair_losses(d, same, alpha, beta),
        "triplet_positive": (d - longest / 2 + margin).relu(),
    }
    return {name: columns[name].tolist() for name in COLUMNS}


def write_curves(
    folder: str | Path, alpha: float = 1.05, beta: float = 0.5, margin: float = 0.3
) -> list[Path]:
    """Write ``curves.csv`` and ``curves.png``.

    Returns:
        Both paths.
    """
    curves = loss_curves(alpha, beta, margin)
    rows = [list(row) for row in zip(*curves.values(), strict=True)]
    panels = (
        ("(a) probability of a pair", ("exponential", "sigmoid")),
        ("(b) loss of a pair of two persons", ("fidi_negative", "triplet_negative")),
        ("(c) loss of a pair of one person", ("fidi_positive", "triplet_positive")),
    )
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.5), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(1, 3), panels, strict=True):
        for name in names:
            axes.plot(curves["distance"], curves[name], label=name.split("_")[0])
        axes.set(title=title, xlabel="distance d", ylim=(0, None))
        axes.legend()
    figure.suptitle(f"alpha {alpha:g}, beta {beta:g}; triplet margin {margin:g}")
    return [
        write_csv(Path(folder) / "curves.csv", COLUMNS, rows),
        write_figure(Path(folder) / "curves.png", figure),
    ]


def write_csv(path: Path, header: tuple[str, ...], rows: list[list[float]]) -> Path:
    """Write numbers as a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return write_aside(path, text.getvalue().encode())


def write_figure(path: Path, figure: object) -> Path:
    """Write a matplotlib figure as a PNG file."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)  # type: ignore[attr-defined]
    return write_aside(path, image.getvalue())
