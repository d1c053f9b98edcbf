"""The table of a claim: scores over all seeds, scores on the training set, and differences paired by seed."""

from __future__ import annotations

import json
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import stats
from tabulate import tabulate

from fastreid_projects.evidence.claims import Claim, Training
from fastreid_projects.files import write_aside
from fastreid_projects.records.tables import flat_metrics, read_record, total_seconds

Found = Mapping[str, Mapping[int, Mapping[str, float]]]
"""Numbers by row, seed and name."""
LEARNED = {"total_loss": "training loss", "cls_accuracy": "training accuracy"}
"""The last values in a run's ``metrics.json``: a row that has not learned says nothing about its method."""


_WIDEST = 16  # columns of metrics


def write_claim(output: str, claim: Claim, made: Sequence[Training]) -> Path:
    """Write ``<claim>.md`` from the finished runs.

    Args:
        output: the folder of all claims.
        claim: the table.
        made: its finished runs, at least one.

    Returns:
        The file.
    """
    found: dict[str, dict[int, dict[str, float]]] = {}
    for training in made:
        found.setdefault(training.row.name, {})[training.seed] = numbers(training.folder)
    text = [f"# {claim.text}", "", scores_table(claim, found), ""]
    text += differences_list(claim, found)
    text += ["", "```sh", *(_made_by(training) for training in made), "```", ""]
    return write_aside(Path(output) / f"{claim.name}.md", "\n".join(text).encode())


def numbers(folder: str) -> dict[str, float]:
    """Return the metrics of a finished run, its minutes, and the last loss and accuracy on its training set."""
    record = read_record(folder)
    last = _last_line(Path(folder) / "metrics.json")
    learned = {name: float(last[key]) for key, name in LEARNED.items() if key in last}
    if "training accuracy" in learned:
        learned["training accuracy"] *= 100
    return {**flat_metrics(record), **learned, "minutes": total_seconds(record) / 60}


def _last_line(path: Path) -> dict[str, Any]:
    """Return the last line about training, not testing."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    found = (json.loads(line) for line in reversed(lines) if "total_loss" in line)
    return dict(next(found, {}))


def scores_table(claim: Claim, found: Found) -> str:
    """Return the means and standard deviations of a claim's metrics over the seeds of each row.

    Many metrics of a single row stand below each other.
    """
    names = [*claim.metrics, *LEARNED.values(), "minutes"]
    rows = []
    for row, seeds in found.items():
        columns = [[one[name] for one in seeds.values() if name in one] for name in names]
        rows.append([row, len(seeds), *map(spread_text, columns)])
    headers = ["run", "seeds", *names]
    if len(rows) == 1 and len(names) > _WIDEST:
        below = list(zip(headers, rows[0], strict=True))[1:]
        return tabulate(below, headers=["measure", next(iter(found))], tablefmt="pipe", disable_numparse=True)
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)


def spread_text(values: Sequence[float]) -> str:
    """Return "mean ± standard deviation"; only the mean for a single value, and "-" for none."""
    if not values:
        return "-"
    mean = f"{statistics.fmean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2f}"


def differences_list(claim: Claim, found: Found) -> list[str]:
    """Return the differences of each row from the first, paired by seed; with a 95 % interval for two or more seeds."""
    first, metric = claim.rows[0].name, claim.metrics[0]
    lines = []
    for row, seeds in found.items():
        both = [seed for seed in seeds if seed in found.get(first, {})]
        if row == first or not both:
            continue
        pairs = [seeds[seed][metric] - found[first][seed][metric] for seed in both]
        lines.append(f"- {row} − {first}, {metric}: {interval(pairs)}; seeds {', '.join(map(str, both))}")
    return lines


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of two or more values, by Student's t."""
    mean = statistics.fmean(values)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return mean - half, mean + half


def interval(values: Sequence[float]) -> str:
    """Return the mean with its 95 % interval, or only the mean for a single value."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:+.2f}"
    low, high = bounds(values)
    return f"{mean:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}"


def _made_by(training: Training) -> str:
    """Return the command in the run's record, which is the one that ran."""
    record = read_record(training.folder)
    return str((record.get("training") or record).get("command") or command(training))


def command(training: Training, more: Sequence[str] = ()) -> str:
    """Return the command of a run."""
    return shlex.join(["fastreid-projects", "train", *arguments(training, more)])


def arguments(training: Training, more: Sequence[str] = ()) -> list[str]:
    """Return the arguments of ``train``."""
    row = training.row
    own = ["SEED", str(training.seed), "OUTPUT_DIR", training.folder]
    return ["--config-file", row.config, "--resume", *row.opts, *more, *own]
