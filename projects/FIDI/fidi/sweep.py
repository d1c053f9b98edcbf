"""A sweep over alpha and beta, with one of them varied at a time (fig. 9, sec. V-G)."""

from __future__ import annotations

import logging
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastreid_projects.config import load_config
from fastreid_projects.engine.arguments import argument_parser
from fastreid_projects.engine.run import run
from fastreid_projects.engine.same_config import config_there, differences
from fastreid_projects.engine.stages import build_stages, check_stages, is_finished
from fastreid_projects.errors import ConfigError
from fastreid_projects.records.tables import flat_metrics, read_record

from .curves import write_csv, write_figure

logger = logging.getLogger("fastreid.projects.fidi.sweep")

METRICS = ("mAP", "Rank-1", "Error-I", "Error-II")


class Point(NamedTuple):
    """One training run of a sweep.

    Attributes:
        varied: ``"ALPHA"`` or ``"BETA"``.
        value: the value of the varied one.
        seed: the seed of the run.
        folder: its OUTPUT_DIR.
        opts: KEY VALUE pairs that override the config.
    """

    varied: str
    value: float
    seed: int
    folder: str
    opts: tuple[str, ...]


def sweep_points(
    folder: str,
    alphas: Iterable[float],
    betas: Iterable[float],
    seeds: Sequence[int],
    opts: Sequence[str] = (),
) -> Iterator[Point]:
    """Yield every run: alphas with the config's beta, betas with the config's alpha, each with every seed.

    Args:
        folder: the folder below which each run gets its folder.
        alphas: values of alpha.
        betas: values of beta.
        seeds: values of SEED.
        opts: KEY VALUE pairs for all runs.
    """
    for varied, values in (("ALPHA", alphas), ("BETA", betas)):
        for value in values:
            for seed in seeds:
                own = os.path.join(folder, f"{varied.lower()}_{value:.15g}", f"seed_{seed}")
                pairs = (f"MODEL.LOSSES.FIDI.{varied}", str(value), "SEED", str(seed), "OUTPUT_DIR", own)
                yield Point(varied, value, seed, own, (*opts, *pairs))


def check_sweep(config_file: str, points: Sequence[Point]) -> None:
    """Check before anything is written that every run can be made, and that existing runs belong to the sweep.

    Raises:
        ConfigError: nothing is varied, or the same twice, the config does not train with FIDI, a value is out of its
            range, or a folder holds a run with other settings.
    """
    if not points:
        raise ConfigError("a sweep needs a value: name one with --alphas or --betas")
    folder, times = Counter(point.folder for point in points).most_common(1)[0]
    if times > 1:
        raise ConfigError(f"two runs of the sweep would go to {folder}: name each value and each seed once")
    for point in points:
        stages = build_stages(load_config(config_file, point.opts))
        cfg = stages[-1].cfg
        if "FIDILoss" not in cfg.MODEL.LOSSES.NAME:
            raise ConfigError(
                f"{config_file} trains with {', '.join(cfg.MODEL.LOSSES.NAME)}; "
                "a sweep needs FIDILoss in MODEL.LOSSES.NAME"
            )
        check_stages(stages)
        text = config_there(point.folder)
        if text is not None:
            handed = (stages[-1].weights_key, "MODEL.BACKBONE.PRETRAIN") if len(stages) > 1 else ()
            for difference in differences(text, cfg, handed):
                raise ConfigError(
                    f"{point.folder} holds a run with {difference}: remove it, or name another folder with "
                    "--output"
                )


def run_sweep(config_file: str, points: Sequence[Point]) -> None:
    """Train all runs that have no run record yet, and resume interrupted ones.

    Raises:
        ConfigError: the config does not train with FIDI, or a value is out of its range.
    """
    check_sweep(config_file, points)
    for point in points:
        cfg = load_config(config_file, point.opts)
        if is_finished(point.folder):
            logger.info("%s is finished", point.folder)
            continue
        run(cfg, argument_parser().parse_args(["--config-file", config_file, "--resume", *point.opts]))


def write_sweep(folder: str | Path, points: Sequence[Point]) -> list[Path]:
    """Write ``sweep.csv`` (a row for each run) and ``sweep.png`` (the means, and a point for each seed).

    Args:
        folder: the folder to write to.
        points: runs with a run record.

    Returns:
        Both paths.

    Raises:
        DataError: a run has no record.
    """
    found = [flat_metrics(read_record(point.folder)) for point in points]
    rows: list[list[Any]] = [
        [point.varied.lower(), point.value, point.seed, *(metrics.get(name, "") for name in METRICS)]
        for point, metrics in zip(points, found, strict=True)
    ]
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, varied in zip(figure.subplots(1, 2), ("ALPHA", "BETA"), strict=True):
        scores: dict[float, list[float]] = {}
        for point, metrics in zip(points, found, strict=True):
            if point.varied == varied:
                scores.setdefault(point.value, []).append(metrics["mAP"])
        axes.plot(list(scores), [statistics.fmean(values) for values in scores.values()])
        axes.plot(
            [v for v, many in scores.items() for _ in many],
            [s for many in scores.values() for s in many],
            "o",
        )
        axes.set(xlabel=varied.lower(), ylabel="mAP, %", xscale="log")
    header = ("varied", "value", "seed", *METRICS)
    return [
        write_csv(Path(folder) / "sweep.csv", header, rows),
        write_figure(Path(folder) / "sweep.png", figure),
    ]
