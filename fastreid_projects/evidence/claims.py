"""The list of claims: a YAML file of tables, where each row is a config that is trained with several seeds.

::

    tables:
      fidi_bagtricks:                       # the name of the folder and the file
        claim: FIDI above triplet in BoT (table II)
        metrics: [mAP, Rank-1]              # the first one is compared
        seeds: [0, 1, 2]
        opts: {TEST.FIDELITY.TRAIN: True}   # for the configs of all rows
        rows:                               # the first one is the baseline of the others
          triplet: {config: projects/FIDI/configs/demo/triplet_bagtricks_r18_demo.yml}
          fidi: {config: projects/FIDI/configs/demo/fidi_bagtricks_r18_demo.yml, opts: {MODEL.LOSSES.FIDI.BETA: 0.5}}

A table may list what it ``needs`` that not everybody has, such as data or weights: it is only trained if ``--only``
names it. ``{output}`` in a value stands for the folder of all claims, which holds the weights of earlier tables.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fastreid_projects.errors import ConfigError

_TABLE_KEYS = {"claim", "metrics", "seeds", "rows"}
_OPTIONAL_KEYS = {"opts", "needs"}


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        name: the name of its folder, and in the table.
        config: the path of a YAML file.
        opts: ``KEY VALUE`` pairs that override it, starting with those of the table.
    """

    name: str
    config: str
    opts: tuple[str, ...]


class Claim(NamedTuple):
    """A table and the claim that it tests.

    Attributes:
        name: the name of its folder and file.
        text: the claim.
        metrics: the metrics to show; the first one is compared.
        seeds: the seeds of every row.
        rows: the rows; the first one is the baseline of the others.
        needs: what has to be there that not everybody has; "" for nothing.
    """

    name: str
    text: str
    metrics: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    needs: str = ""


class Training(NamedTuple):
    """One training run of a table: a row with a seed.

    Attributes:
        row: its row.
        seed: the seed of the run.
        folder: its OUTPUT_DIR.
    """

    row: Row
    seed: int
    folder: str


def read_claims(path: str | Path) -> list[Claim]:
    """Read the list.

    Raises:
        ConfigError: the file is missing or not such a list; the message names the entry.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the list of claims {path} cannot be read: {error}") from error
    tables = content.get("tables") if isinstance(content, dict) else None
    if not isinstance(tables, dict) or not tables:
        raise ConfigError(f"{path} has no 'tables', a mapping from names to claims")
    return [_claim(f"{path}: {name}", name, table) for name, table in tables.items()]


def _claim(where: str, name: Any, table: Any) -> Claim:
    if not isinstance(table, dict) or set(table) - _OPTIONAL_KEYS != _TABLE_KEYS:
        raise ConfigError(
            f"{where} has to be a mapping of claim, metrics, seeds, rows and, optionally, opts and needs"
        )
    _check_name(where, name)
    if not table["rows"] or not table["seeds"] or not table["metrics"]:
        raise ConfigError(f"{where} needs at least one of its metrics, seeds and rows")
    shared = _pairs(table.get("opts") or {})
    rows = []
    for row, entry in table["rows"].items():
        _check_name(where, row)
        if not isinstance(entry, dict) or "config" not in entry or set(entry) - {"config", "opts"}:
            raise ConfigError(f"{where}: the row {row} has to be a mapping of config and, optionally, opts")
        rows.append(Row(row, entry["config"], (*shared, *_pairs(entry.get("opts") or {}))))
    numbers = tuple(table["metrics"]), tuple(table["seeds"])
    return Claim(name, table["claim"], *numbers, tuple(rows), table.get("needs") or "")


def _check_name(where: str, name: Any) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
        raise ConfigError(f"{where}: {name!r} names a folder: use letters, digits, _ and -")


def _pairs(opts: Mapping[str, Any]) -> list[str]:
    return [word for key, value in opts.items() for word in (key, str(value))]


def training_runs(claim: Claim, output: str, seeds: Sequence[int] = ()) -> Iterator[Training]:
    """Yield the training runs of a claim, seed after seed, so that all rows have results early.

    Args:
        claim: the table.
        output: the folder of all claims.
        seeds: by default those of the claim.
    """
    rows = [row._replace(opts=tuple(o.replace("{output}", output) for o in row.opts)) for row in claim.rows]
    for seed in seeds or claim.seeds:
        for row in rows:
            yield Training(row, seed, os.path.join(output, claim.name, row.name, f"seed_{seed}"))
