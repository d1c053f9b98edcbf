"""Calibrations on disk: ``calibration.json`` beside a run's weights has one for each test set of the run's model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fastreid_projects.errors import DataError
from fastreid_projects.files import write_aside

from .calibration import Calibration

if TYPE_CHECKING:
    from .explainer import Explainer

CALIBRATION = "calibration.json"
_KIND = "calibration of an interpreter"
_VERSION = 1


class Calibrated(NamedTuple):
    """The result of the search for a calibration.

    Attributes:
        calibration: the calibration that was found and matches the model, or None.
        note: a sentence for the reader on what the distances mean, or why that is not known.
    """

    calibration: Calibration | None
    note: str


def interpreter_digest(model: Any, cfg: Any) -> str:
    """Return a text that changes with everything that changes a distance or a contribution.

    It does not depend on the run's folder, nor on what is evaluated or reported.

    Args:
        model: the interpreter with its weights.
        cfg: its config.
    """
    from fastreid_projects.engine.load_model import model_digest

    cfg = cfg.clone()
    cfg.defrost()
    node = cfg.MODEL.AMD
    for key in ("TEST", "REPORT", "TARGET"):
        node[key].clear()
    node.PRETRAIN_PATH = ""
    return model_digest(model, cfg)


def save_calibration(path: Path, digest: str, calibration: Calibration) -> None:
    """Write the calibration of a test set; keep those of other test sets if they belong to the same model.

    Raises:
        DataError: the path cannot be written.
    """
    sets: dict[str, Any] = {}
    if path.is_file():
        data = _read(path, strict=False)
        sets = data["sets"] if data.get("digest") == digest else {}
    sets[calibration.scale.dataset] = calibration.as_json()
    content = {"kind": _KIND, "version": _VERSION, "digest": digest, "sets": sets}
    write_aside(path, (json.dumps(content) + "\n").encode())


def load_calibration(path: Path, digest: str, datasets: tuple[str, ...] = ()) -> Calibration:
    """Read the calibration of a model.

    Args:
        path: path of the file.
        digest: digest of the model that is explained, see :func:`interpreter_digest`.
        datasets: test sets to look for; the first one in the file is used, or the file's first test set if none is.

    Raises:
        DataError: the file is missing or damaged, or belongs to other weights.
    """
    data = _read(path, strict=True)
    if data["digest"] != digest:
        raise DataError(
            f"the calibration {path} was made with other weights or another config than those explained here; "
            "to make a new one, evaluate with --eval-only"
        )
    sets = data["sets"]
    name = next((name for name in datasets if name in sets), next(iter(sets), ""))
    try:
        return Calibration.from_json(name, sets[name])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(_damaged(path, error)) from error


def _read(path: Path, *, strict: bool) -> dict[str, Any]:
    """Return the file's content; if it cannot be used, return {} or, with ``strict``, raise an error."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["kind"] == _KIND and data["version"] == _VERSION and isinstance(data["sets"], dict):
            return dict(data)
        problem: Any = "its content is not a calibration"
    except FileNotFoundError as error:
        if strict:
            raise DataError(
                f"the calibration {path} does not exist; to make it, evaluate with --eval-only"
            ) from error
        problem = error
    except (OSError, ValueError, TypeError, KeyError) as error:
        problem = error
    if strict:
        raise DataError(_damaged(path, problem))
    return {}


def _damaged(path: Path, problem: Any) -> str:
    return (
        f"the calibration {path} cannot be used ({problem}); remove it, and make a new one with --eval-only"
    )


def calibrate(
    explainer: Explainer, cfg: Any, config: str, folders: Sequence[Path], shown: Sequence[str] = ()
) -> Calibrated:
    """Give an explainer the calibration of its run, if there is one.

    Args:
        explainer: explainer of an interpreter.
        cfg: the interpreter's config, with its weights.
        config: the config's file name, for the sentence on how to make a calibration.
        folders: folders that may hold the calibration; the first one that does is used.
        shown: names of the test sets whose pictures are explained; "" for own pictures.
    """
    path = next((f / CALIBRATION for f in folders if (f / CALIBRATION).is_file()), None)
    if path is None:
        return Calibrated(
            None,
            "What this distance means is not known, because the run has no calibration. Evaluating the run makes one: "
            f"fastreid-projects train --config-file {config} --eval-only MODEL.WEIGHTS {cfg.MODEL.WEIGHTS}",
        )
    try:
        wanted = (*filter(None, shown), *cfg.DATASETS.TESTS)
        found = load_calibration(path, interpreter_digest(explainer.model, cfg), wanted)
        if found.names != explainer.attribute_set.names:
            raise DataError(_damaged(path, "the calibration has other attributes"))
    except DataError as error:
        return Calibrated(None, f"What this distance means is not known: {error}.")
    explainer.calibration = found
    dataset = found.scale.dataset
    note = f"What a distance and a contribution mean was measured on the people in {dataset}"
    strange = [name for name in shown if name != dataset]
    return Calibrated(found, f"{note}, not on those shown here." if strange else f"{note}.")
