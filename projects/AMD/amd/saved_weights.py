"""Check that weights on disk belong to an interpreter, and to the one that a config describes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fastreid_projects.checkpoints.weights import load_state_dict_file
from fastreid_projects.data.attributes import AttributeSet
from fastreid_projects.errors import WeightsError

_OWN = ("free_stages.", "head.")
_COUNTERS = "num_batches_tracked"
_LAST = "head.decompose.weight"


def check_explainable(cfg: Any) -> None:
    """Check that ``MODEL.WEIGHTS`` of an AMD config holds an interpreter.

    Raises:
        WeightsError: the file is missing or holds another model.
    """
    path = cfg.MODEL.WEIGHTS
    if not os.path.isfile(path):
        raise WeightsError(
            f"the interpreter's weights '{path}' do not exist; train it with 'fastreid-projects train', or name its "
            "checkpoint with --weights"
        )
    if _LAST not in load_state_dict_file(path):
        raise WeightsError(
            f"{path} does not hold an interpreter of AMD; name the model_final.pth of an AMD run"
        )


def check_saved(cfg: Any, own: Mapping[str, Tensor], attribute_set: AttributeSet) -> None:
    """Check that the interpreter in ``MODEL.WEIGHTS`` matches the one that was built, entry by entry.

    The frozen target fills most of a checkpoint, so that the share of matching entries says little about the
    interpreter. A file of another model is left to the host's own check.

    Args:
        cfg: the interpreter's config.
        own: the entries ``free_stages.*`` and ``head.*`` of the built interpreter.
        attribute_set: the attributes of its maps.

    Raises:
        WeightsError: the attributes or N differ, or an entry is missing, unexpected, of another shape or not finite.
    """
    path = cfg.MODEL.WEIGHTS
    if not path or not os.path.isfile(path):
        return
    saved = {k: v for k, v in load_state_dict_file(path).items() if k.startswith(_OWN)}
    if _LAST not in saved:
        return
    _check_attributes(saved[_LAST], path, attribute_set)
    shared = cfg.MODEL.AMD.SHARED_STAGES + _stages(own) - _stages(saved)
    if shared != cfg.MODEL.AMD.SHARED_STAGES:
        raise WeightsError(
            f"the interpreter in {path} was trained with MODEL.AMD.SHARED_STAGES {shared}, not "
            f"{cfg.MODEL.AMD.SHARED_STAGES}; set it to {shared}, or name weights of another run"
        )
    wrong = {k for k in own if k not in saved or saved[k].shape != own[k].shape}
    wrong = {k for k in wrong | (saved.keys() - own.keys()) if not k.endswith(_COUNTERS)}
    if wrong:
        raise WeightsError(
            f"the interpreter in {path} was trained with another config: {len(wrong)} of its entries are missing, "
            f"unexpected or of another shape, e.g. {_example(min(wrong), own, saved)}; name the config.yaml of its run"
        )
    require_finite(saved, f"the interpreter's weights {path}")


def require_finite(state: Mapping[str, Tensor], what: str) -> None:
    """Refuse weights that contain NaN or infinite values.

    Raises:
        WeightsError: a weight is not finite; names its entry.
    """
    broken = next((k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()), None)
    if broken is not None:
        raise WeightsError(
            f"{what} contain values that are not finite, e.g. in {broken}: their training has diverged; use an earlier "
            "checkpoint, or train again with a smaller SOLVER.BASE_LR"
        )


def _check_attributes(last: Tensor, path: str, expected: AttributeSet) -> None:
    if len(last) != len(expected):
        raise WeightsError(
            f"the interpreter in {path} has {len(last)} attributes, but the set {expected.name} has "
            f"{len(expected)}; set MODEL.AMD.ATTRIBUTES to the one that it was trained on"
        )


def _stages(state: Mapping[str, Tensor]) -> int:
    """Return the number of stages that belong to the interpreter alone."""
    return len({k.split(".")[1] for k in state if k.startswith("free_stages.")})


def _example(name: str, own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> str:
    there, here = (tuple(s[name].shape) if name in s else "absent" for s in (saved, own))
    return f"{name} is {there} in the file and {here} by the config"
