"""Check whether weights belong to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fastreid_projects.contract import not_pretrained, output_kind
from fastreid_projects.errors import WeightsError

State = Mapping[str, Any]

REQUIRED_SHARE = 0.9
# Parts of a head that models of other projects lack, and the settings that build a model without them.
_WITHOUT = {
    "heads.bottleneck.": "MODEL.HEADS.WITH_BNNECK False",
    "heads.pool_layer.": "MODEL.HEADS.POOL_LAYER GlobalAvgPool",
}


def matched_share(model_state: State, file_state: State, prefix: str = "") -> float:
    """Return the share (0..1) of the model's parameters and buffers that a file holds with the same name and shape.

    Args:
        model_state: the model's state dict.
        file_state: the file's state dict.
        prefix: count only names that start with it, or all if there are none; ``num_batches_tracked`` never counts.
    """
    names = counted_names(model_state, prefix)
    return sum(_fits(model_state, file_state, name) for name in names) / len(names) if names else 1.0


def counted_names(state: State, prefix: str = "") -> list[str]:
    """Return the names that :func:`matched_share` counts."""
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    return [name for name in names if name.startswith(prefix)] or names


def _fits(model_state: State, file_state: State, name: str) -> bool:
    return name in file_state and file_state[name].shape == model_state[name].shape


def require_match(
    model_state: State, file_state: State, path: str, prefix: str = "", key: str = "MODEL.WEIGHTS"
) -> None:
    """Refuse a file that belongs to another model.

    Args:
        model_state: the model's state dict.
        file_state: the file's state dict.
        path: the file, for the error message.
        prefix: see :func:`matched_share`.
        key: the config key that names the file.

    Raises:
        WeightsError: less than 90 % of the counted names match; the message gives an example of either side.
    """
    share = matched_share(model_state, file_state, prefix)
    if share >= REQUIRED_SHARE:
        return
    names = counted_names(model_state, prefix)
    lacking = next(name for name in names if not _fits(model_state, file_state, name))
    if lacking in file_state:
        example = (
            f"'{lacking}' is {tuple(model_state[lacking].shape)} in the model but "
            f"{tuple(file_state[lacking].shape)} in the file"
        )
    else:
        foreign = next(
            (name for name in file_state if name not in model_state), next(iter(file_state), "nothing")
        )
        example = f"the model needs '{lacking}', the file has '{foreign}'"
    part = "backbone's weights" if any(name.startswith("backbone.") for name in names) else "model's weights"
    raise WeightsError(
        f"The weights file '{path}' belongs to another model: it fits {int(100 * share)}% of the {part} and "
        f"{REQUIRED_SHARE:.0%} is needed ({example}); check {key} and the MODEL settings of the config."
    )


def require_whole(model: torch.nn.Module, file_state: State, path: str, classes: int) -> None:
    """Refuse a file that would leave untrained a part of the model that the features depend on.

    Classifiers may be missing or have other classes, unless the model returns their logits.

    Args:
        model: the model to evaluate.
        file_state: the file's state dict.
        path: the file, for the error message.
        classes: the number of classes that the model is built for; 0 if it is not known.

    Raises:
        WeightsError: an entry is missing or has another shape; the message names one.
    """
    state = model.state_dict()
    logits = output_kind(model) == "logits"
    names = [
        name
        for name in counted_names(state)
        if not _fits(state, file_state, name) and (logits or not _is_classifier(state, name, classes))
    ]
    if not names:
        return
    there = tuple(file_state[names[0]].shape) if names[0] in file_state else "absent"
    raise WeightsError(
        f"The weights file '{path}' was trained with another config: {len(names)} of the model's entries are missing "
        f"or have another shape, e.g. '{names[0]}' is {tuple(state[names[0]].shape)} in the model and {there} in the "
        f"file; use the MODEL settings of the run that wrote it{_settings(names, file_state)}, or name the weights of "
        "this model as MODEL.WEIGHTS, e.g. model_final.pth of its run."
    )


def _settings(missing: Sequence[str], file_state: State) -> str:
    """Return the settings of a model without the missing parts, where these are all that is missing."""
    found = {setting for part, setting in _WITHOUT.items() if any(name.startswith(part) for name in missing)}
    known = all(name.startswith(tuple(_WITHOUT)) and name not in file_state for name in missing)
    return f", which may be {' '.join(sorted(found))}" if known else ""


def _is_classifier(state: State, name: str, classes: int) -> bool:
    """Return whether an entry is (classes, C), or (K, classes, C) for K parts, or the bias of such a weight."""
    weight = (
        state.get(f"{name.removesuffix('bias')}weight", state[name]) if name.endswith("bias") else state[name]
    )
    return weight.dim() in (2, 3) and classes in weight.shape[:2]


def require_numbers(file_state: State, path: str, key: str = "MODEL.WEIGHTS") -> None:
    """Refuse weights from training that diverged.

    Args:
        file_state: the file's state dict.
        path: the file, for the error message.
        key: the config key that names the file.

    Raises:
        WeightsError: an entry holds NaN.
    """
    for name, value in file_state.items():
        if value.is_floating_point() and value.isnan().any():
            raise WeightsError(
                f"The weights file '{path}' holds NaN in '{name}': its training diverged; name an earlier checkpoint "
                f"as {key}."
            )


def summarize_match(model_state: State, file_state: State) -> str:
    """Return a small table with the numbers of weights that match, are missing, are left over, or differ in shape."""
    common = [name for name in file_state if name in model_state]
    matched = sum(_fits(model_state, file_state, name) for name in common)
    counts = {
        "matched": matched,
        "missing in the file": len(model_state) - len(common),
        "left over in the file": len(file_state) - len(common),
        "of another shape": len(common) - matched,
    }
    return "Weights:\n" + "\n".join(f"  {label:<22}{count:>6}" for label, count in counts.items())


def check_weights(model: torch.nn.Module, file_state: dict[str, torch.Tensor], path: str) -> None:
    """Check that weights belong to a model; those that the model lists as ``not_pretrained`` may be missing.

    Args:
        model: the model that is to load the weights.
        file_state: names and their tensors.
        path: the file, for error messages.

    Raises:
        WeightsError: the weights belong to another model or hold NaN.
    """
    added = not_pretrained(model)
    expected = {name: value for name, value in model.state_dict().items() if not name.startswith(added)}
    require_match(expected, file_state, path, "backbone.")
    require_numbers(file_state, path)
