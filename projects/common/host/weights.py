"""Reading weight files safely, and telling whether they belong to a model."""

from __future__ import annotations

import argparse
import collections
import itertools
import os
import pickle
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from fastreid_projects.errors import WeightsError

State = Mapping[str, Any]

REQUIRED_SHARE = 0.9
WRAPPERS = ("model", "state_dict", "model_state")


def load_state_dict_file(path: str) -> dict[str, torch.Tensor]:
    """Read the weights of a file without executing code from it.

    The file holds a state dict, bare or under one of the keys ``model``, ``state_dict``, ``model_state``;
    numpy arrays become tensors. The prefix ``module.`` of a parallel wrapper is removed if all names have it.

    Args:
        path: a local file written by ``torch.save``.

    Returns:
        parameter and buffer names with their tensors, on the CPU.

    Raises:
        WeightsError: the file is missing, unreadable, unsafe, or holds no weights.
    """
    return tensors_of(load_safely(path), path)


def load_safely(path: str) -> Any:
    """``torch.load`` on the CPU with ``weights_only=True``; numpy values and the config of a run are allowed.

    Raises:
        WeightsError: the file is missing, truncated, no torch file, or holds objects that could run code.
    """
    try:
        with torch.serialization.safe_globals(_harmless()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"The weights file '{path}' does not exist: check the path.") from error
    except IsADirectoryError as error:
        raise WeightsError(folder_named(path)) from error
    except PermissionError as error:
        raise WeightsError(f"The weights file '{path}' cannot be read: {error.strerror}.") from error
    except pickle.UnpicklingError as error:
        unsafe = _unsafe_global(error)
        if unsafe is None:
            raise WeightsError(_broken(path)) from error
        raise WeightsError(
            f"The weights file '{path}' holds a Python object ({unsafe}) that could run any code when it is "
            "read, so it is refused: where it was made, save the weights alone with "
            "torch.save(model.state_dict(), file); a file that you trust can be converted once: load it with "
            "torch.load(file, weights_only=False), then save .state_dict() of it where it is a whole model, else its "
            "entry ['model']."
        ) from error
    except Exception as error:  # an unpickler may stumble over anything in a file that is no pickle
        if "TorchScript" in str(error):
            raise WeightsError(
                f"The weights file '{path}' is a TorchScript program, not weights: save those with "
                "torch.save(torch.jit.load(file).state_dict(), new_file)."
            ) from error
        raise WeightsError(_broken(path)) from error


def folder_named(path: str) -> str:
    """The sentence for a folder where a file is wanted."""
    return f"The weights file '{path}' is a folder: name the .pth file in it."


def _broken(path: str) -> str:
    """What the file is instead, by its first bytes."""
    with open(path, "rb") as file:
        head = file.read(512).lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        return f"The weights file '{path}' is a pointer of git-lfs, not the weights: fetch them with git lfs pull."
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        return (
            f"The weights file '{path}' is a web page, not weights: open its address in a browser and save the "
            "file that the page offers."
        )
    return (
        f"The weights file '{path}' ({os.path.getsize(path)} bytes) is truncated or was not written by torch.save: "
        "copy or download it again."
    )


def _harmless() -> list[Any]:
    """What checkpoints hold besides tensors and what runs no code: numpy's values, arguments and configs of a run.

    torch fills no mappings but its own three, so a config is read as one of them.
    """
    configs = [(collections.OrderedDict, name) for name in _CONFIGS]
    return [*_numpy_globals(), argparse.Namespace, *configs]


_CONFIGS = ("fastreid.config.config.CfgNode", "yacs.config.CfgNode", "fvcore.common.config.CfgNode")


def _numpy_globals() -> list[Any]:
    """Name what pickled arrays and scalars of numpy are made by; numpy 1 called the module differently."""
    scalar = np.float64(0).__reduce__()[0]
    reconstruct = np.empty(0).__reduce__()[0]
    parts = [(scalar, "scalar"), (reconstruct, "_reconstruct")]
    named = [(f, f"numpy.{core}.multiarray.{name}") for core in ("core", "_core") for f, name in parts]
    dtypes = [getattr(np.dtypes, name) for name in np.dtypes.__all__]
    return [np.ndarray, np.dtype, *dtypes, *named]


def _unsafe_global(error: pickle.UnpicklingError) -> str | None:
    """Return the name of the refused object, or None where the file is no readable pickle."""
    words = str(error).split()
    for before, word in itertools.pairwise(words):
        if before == "GLOBAL":
            return word
    return None


def tensors_of(content: Any, path: str) -> dict[str, torch.Tensor]:
    """Take the state dict out of a loaded file; see :func:`load_state_dict_file`.

    Raises:
        WeightsError: there is none, or it holds something else than tensors.
    """
    state = content
    if isinstance(state, Mapping):
        state = next((state[key] for key in WRAPPERS if isinstance(state.get(key), Mapping)), state)
    if not isinstance(state, Mapping) or not state:
        raise WeightsError(
            f"The weights file '{path}' holds no weights but {type(content).__name__}: {_EXPECTED}"
        )
    tensors: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(value)
        if not isinstance(value, torch.Tensor):
            raise WeightsError(
                f"The weights file '{path}' holds no weights: its entry '{name}' is of type "
                f"{type(value).__name__}; {_EXPECTED}"
            )
        _check_kind(name, value, path)
        tensors[str(name)] = value
    if all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def _check_kind(name: str, value: torch.Tensor, path: str) -> None:
    """Refuse tensors that a model's parameters cannot take, or that a cast would change without a word."""
    kinds = {
        "sparse": value.layout != torch.strided,
        "quantized": value.is_quantized,
        "without values (meta)": value.is_meta,
        "complex": value.is_complex(),
    }
    found = next((kind for kind, is_so in kinds.items() if is_so), None)
    if found:
        raise WeightsError(
            f"The weights file '{path}' cannot be used: its entry '{name}' is {found}; save a model of plain "
            "floating point tensors."
        )


_EXPECTED = "expected is a checkpoint of FastReID or a state dict (names with their tensors)."


def matched_share(model_state: State, file_state: State, prefix: str = "") -> float:
    """Share (0..1) of the model's parameters and buffers that a file holds under the same name and shape.

    Args:
        model_state: the model's state dict.
        file_state: the file's state dict.
        prefix: count the names that start with it, all where there are none; never ``num_batches_tracked``.
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
        path: the file, for the message.
        prefix: see :func:`matched_share`.
        key: the config key that names the file.

    Raises:
        WeightsError: less than 90 % of the counted names match; names an example of either side.
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
    """Refuse a file that leaves a part of a model untrained which its features pass.

    Classifiers may be missing or have other classes, unless the model's output are their logits.

    Args:
        model: that is to be evaluated.
        file_state: the file's state dict.
        path: the file, for the message.
        classes: for how many the model is built; 0 where that is not known.

    Raises:
        WeightsError: an entry is missing or has another shape; names one.
    """
    state = model.state_dict()
    logits = getattr(model, "output_kind", "") == "logits"
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
        f"or of another shape, e.g. '{names[0]}' is {tuple(state[names[0]].shape)} in the model and {there} in the "
        "file; give the MODEL settings of that training, or the weights of this model, e.g. model_final.pth of its run"
        ", as MODEL.WEIGHTS."
    )


def _is_classifier(state: State, name: str, classes: int) -> bool:
    """Whether an entry is (classes, C), or for K parts (K, classes, C), or the bias of such a one."""
    weight = (
        state.get(f"{name.removesuffix('bias')}weight", state[name]) if name.endswith("bias") else state[name]
    )
    return weight.dim() in (2, 3) and classes in weight.shape[:2]


def require_numbers(file_state: State, path: str, key: str = "MODEL.WEIGHTS") -> None:
    """Refuse weights of a training that diverged.

    Args:
        file_state: the file's state dict.
        path: the file, for the message.
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
    """Return a small table: how many weights match, are missing, are left over, have another shape."""
    common = [name for name in file_state if name in model_state]
    matched = sum(_fits(model_state, file_state, name) for name in common)
    counts = {
        "matched": matched,
        "missing in the file": len(model_state) - len(common),
        "left over in the file": len(file_state) - len(common),
        "of another shape": len(common) - matched,
    }
    return "Weights:\n" + "\n".join(f"  {label:<22}{count:>6}" for label, count in counts.items())
