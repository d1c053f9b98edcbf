"""The detection error tradeoff (DET) as a chart and as a table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastreid_projects.files import write_aside


def write_det(
    curve: npt.NDArray[np.float64], stem: str | Path, chosen: tuple[float, float] | None = None
) -> list[Path]:
    """Write ``stem.csv`` (threshold, FAR, FRR) and ``stem.png``, FRR over FAR on two logarithmic axes.

    Args:
        curve: (points, 3), see :func:`.evaluation.verification.det_curve`.
        stem: path without a suffix.
        chosen: (FAR, FRR) of a threshold to mark.

    Raises:
        DataError: the files cannot be written.
    """
    stem = str(stem)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("threshold", "FAR", "FRR"))
    writer.writerows(curve.tolist())
    return [
        write_aside(f"{stem}.csv", table.getvalue().encode()),
        write_aside(f"{stem}.png", _draw(curve, chosen)),
    ]


def _draw(curve: npt.NDArray[np.float64], chosen: tuple[float, float] | None) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot(xscale="log", yscale="log", aspect="equal")
    shown = curve[(curve[:, 1] > 0) & (curve[:, 2] > 0)]  # a logarithmic axis has no 0
    axes.plot(shown[:, 1], shown[:, 2], color="#0b4f8a")
    if chosen is not None and min(chosen) > 0:
        axes.plot(*chosen, "o", color="#a01818", label="threshold")
        axes.legend()
    axes.set_xlabel("FAR: different persons taken for one")
    axes.set_ylabel("FRR: one person taken for two")
    axes.grid(which="both", color="#e0e0e0")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()
