"""Read weight files safely; :mod:`fastreid_projects.checkpoints.matching` checks whether they belong to a model."""

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
from fastreid_projects.extras import need

WRAPPERS = ("model", "state_dict", "model_state")
SAFETENSORS = ".safetensors"


def load_state_dict_file(path: str) -> dict[str, torch.Tensor]:
    """Read the weights of a file without executing code from it.

    The file holds a state dict, alone or under one of the keys ``model``, ``state_dict``, ``model_state``;
    numpy arrays become tensors. The prefix ``module.`` of a parallel wrapper is removed if all names have it.

    Args:
        path: a local file written by ``torch.save``.

    Returns:
        The names of parameters and buffers with their tensors, on the CPU.

    Raises:
        WeightsError: the file is missing, unreadable or unsafe, or does not hold weights.
    """
    return tensors_of(load_safely(path), path)


def load_safely(path: str) -> Any:
    """Call ``torch.load`` on the CPU with ``weights_only=True``; allow numpy values and the config of a run.

    A ``.safetensors`` file is read by the package of that name.

    Raises:
        WeightsError: the file is missing, truncated, not a torch file, or holds objects that could run code.
    """
    if os.fspath(path).endswith(SAFETENSORS) and os.path.isfile(path):
        return _load_safetensors(path)
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
            "read, so it is refused: where the file was made, save only the weights with "
            "torch.save(model.state_dict(), file); a file that you trust can be converted once: load it with "
            "torch.load(file, weights_only=False), then save its .state_dict() if it is a whole model, or else its "
            "entry ['model']."
        ) from error
    except Exception as error:  # an unpickler may stumble over anything in a file that is not a pickle
        if "TorchScript" in str(error):
            raise WeightsError(
                f"The weights file '{path}' is a TorchScript program, not weights: save its weights with "
                "torch.save(torch.jit.load(file).state_dict(), new_file)."
            ) from error
        raise WeightsError(_broken(path)) from error


def _load_safetensors(path: str) -> dict[str, torch.Tensor]:
    reader = need("safetensors.torch", "convert", f"Reading {path}")
    try:
        state: dict[str, torch.Tensor] = reader.load_file(path)
    except Exception as error:  # safetensors does not export the class of its error
        raise WeightsError(
            f"The weights file '{path}' is truncated or was not written by safetensors: copy or download it again."
        ) from error
    return state


def folder_named(path: str) -> str:
    """Return the error message for a folder in place of a file."""
    return f"The weights file '{path}' is a folder: name the .pth file in it."


def _broken(path: str) -> str:
    """Return the error message for an unreadable file, which says what it is judging by its first bytes."""
    with open(path, "rb") as file:
        head = file.read(512).lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        return f"The weights file '{path}' is a pointer of git-lfs, not the weights: fetch them with git lfs pull."
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        return (
            f"The weights file '{path}' is a web page, not weights: open its address in a browser and save the file "
            "that the page offers."
        )
    return (
        f"The weights file '{path}' ({os.path.getsize(path)} bytes) is truncated or was not written by torch.save: "
        "copy or download it again."
    )


def _harmless() -> list[Any]:
    """Return the types that checkpoints hold besides tensors and that do not run code: numpy's, arguments and configs.

    torch fills only three types of mappings, so a config is read as one of those.
    """
    configs = [(collections.OrderedDict, name) for name in _CONFIGS]
    return [*_numpy_globals(), argparse.Namespace, *configs]


_CONFIGS = ("fastreid.config.config.CfgNode", "yacs.config.CfgNode", "fvcore.common.config.CfgNode")


def _numpy_globals() -> list[Any]:
    """Return the functions and types that pickled numpy arrays and scalars need; numpy 1 named the module otherwise."""
    scalar = np.float64(0).__reduce__()[0]
    reconstruct = np.empty(0).__reduce__()[0]
    parts = [(scalar, "scalar"), (reconstruct, "_reconstruct")]
    named = [(f, f"numpy.{core}.multiarray.{name}") for core in ("core", "_core") for f, name in parts]
    dtypes = [getattr(np.dtypes, name) for name in np.dtypes.__all__]
    return [np.ndarray, np.dtype, *dtypes, *named]


def _unsafe_global(error: pickle.UnpicklingError) -> str | None:
    """Return the name of the refused object, or None if the file is not a readable pickle."""
    words = str(error).split()
    for before, word in itertools.pairwise(words):
        if before == "GLOBAL":
            return word
    return None


def tensors_of(content: Any, path: str) -> dict[str, torch.Tensor]:
    """Return the state dict in the content of a file; see :func:`load_state_dict_file`.

    Raises:
        WeightsError: there is none, or it holds something other than tensors.
    """
    state = content
    if isinstance(state, Mapping):
        state = next((state[key] for key in WRAPPERS if isinstance(state.get(key), Mapping)), state)
    if not isinstance(state, Mapping) or not state:
        raise WeightsError(
            f"The weights file '{path}' does not hold weights but {type(content).__name__}: {_EXPECTED}"
        )
    tensors: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(value)
        if not isinstance(value, torch.Tensor):
            raise WeightsError(
                f"The weights file '{path}' does not hold weights: its entry '{name}' is of type "
                f"{type(value).__name__}; {_EXPECTED}"
            )
        _check_kind(name, value, path)
        tensors[str(name)] = value
    if all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def _check_kind(name: str, value: torch.Tensor, path: str) -> None:
    """Refuse tensors that a model's parameters cannot take, or that a cast would silently change."""
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


_EXPECTED = "a checkpoint of FastReID or a state dict (names with their tensors) is expected."
