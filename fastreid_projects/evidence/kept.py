"""Records of finished runs, kept in the repository: one small JSON file for each table.

A record is kept only if it has the settings that the list asks for now.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fastreid_projects.config import load_config
from fastreid_projects.engine.same_config import differences
from fastreid_projects.engine.stages import build_stages, is_finished
from fastreid_projects.errors import DataError
from fastreid_projects.evidence.claims import Claim, Training, training_runs
from fastreid_projects.evidence.report import Found, command, numbers
from fastreid_projects.records.record import write_record
from fastreid_projects.records.tables import read_record

logger = logging.getLogger("fastreid.projects.evidence")

HOME = "logs/evidence"
"""The folder of all claims in the commands that are kept."""
_FREE = ("MODEL.WEIGHTS", "MODEL.BACKBONE.PRETRAIN_PATH", "MODEL.AMD.TARGET.WEIGHTS", "STAGES")
_FACTS = ("date", "commit", "versions", "hardware")


def keep(claims: Sequence[Claim], output: str, folder: str | Path) -> list[Path]:
    """Write the records of all finished runs, in addition to those already kept.

    Args:
        claims: the list.
        output: the folder of its runs.
        folder: where the records are kept.

    Returns:
        The files that were written.
    """
    written = []
    for claim in claims:
        path = Path(folder) / f"{claim.name}.json"
        entries = {(entry["row"], entry["seed"]): entry for entry in kept(claim, folder)}
        new = {(training.row.name, training.seed): entry for training, entry in _finished(claim, output)}
        if new:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_record(path, {"runs": list((entries | new).values())})
            written.append(path)
    return written


def kept(claim: Claim, folder: str | Path) -> list[dict[str, Any]]:
    """Return the kept records of a table whose config and options are still in the list, seed after seed.

    Raises:
        DataError: the file is broken.
    """
    path = Path(folder) / f"{claim.name}.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["runs"]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a file of kept records: {error!r}") from error
    found = {(entry["row"], entry["seed"]): entry for entry in entries}
    asked = {
        (training.row.name, training.seed): _settings(training) for training in training_runs(claim, HOME)
    }
    return [found[key] for key in asked if key in found and _settings_of(found[key]) == asked[key]]


def _settings(training: Training) -> tuple[str, list[str]]:
    """Return the config and the options that the list asks for."""
    return training.row.config, list(training.row.opts)


def _settings_of(entry: dict[str, Any]) -> tuple[Any, Any]:
    """Return the config and the options of a kept record."""
    return entry.get("config"), entry.get("opts")


def kept_numbers(entries: Sequence[dict[str, Any]]) -> Found:
    """Return the numbers of kept records by row, seed and name."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for entry in entries:
        found.setdefault(entry["row"], {})[entry["seed"]] = entry["numbers"]
    return found


def _finished(claim: Claim, output: str) -> Iterator[tuple[Training, dict[str, Any]]]:
    for training, as_named in zip(training_runs(claim, output), training_runs(claim, HOME), strict=True):
        if not is_finished(training.folder):
            continue
        record = read_record(training.folder)
        opts = [*training.row.opts, "SEED", str(training.seed)]
        changed = differences(
            record.get("config", "{}"), build_stages(load_config(training.row.config, opts))[-1].cfg, _FREE
        )
        if changed:
            said = ", ".join(map(str, changed))
            logger.warning("%s is left out: it was trained with %s", training.folder, said)
            continue
        facts = record.get("training") or record
        ran = str(facts.get("command") or command(training)).replace(output.rstrip("/"), HOME)
        config, options = _settings(as_named)
        entry = {
            "row": training.row.name,
            "seed": training.seed,
            "config": config,
            "opts": options,
            "command": ran,
        }
        entry |= {key: facts[key] for key in _FACTS if key in facts}
        yield training, entry | {"numbers": numbers(training.folder)}
