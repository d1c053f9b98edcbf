"""A batch collator that replaces the host's, which turns fields of unknown types into None."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import torch

from fastreid_projects.data.byte_images import ByteBatch, ByteImage
from fastreid_projects.errors import DataError


def fast_batch_collator(batched_inputs: list[Any], field: str = "") -> Any:
    """Collate samples to a batch.

    Tensors and byte images are stacked, numbers become tensors, strings a list, and mappings a dict.

    Args:
        batched_inputs: the samples of a batch.
        field: the name of the collated field, for errors.

    Raises:
        DataError: a field has no value, another shape than in the first sample, or a type that cannot be collated.
    """
    first = batched_inputs[0]
    if isinstance(first, Mapping):
        return {
            key: fast_batch_collator(
                [_get(item, key) for item in batched_inputs], f"{field}.{key}".lstrip(".")
            )
            for key in first
        }
    if isinstance(first, str | bytes):
        return batched_inputs
    try:
        if isinstance(first, ByteImage):
            return ByteBatch.stack(batched_inputs)
        if isinstance(first, np.ndarray):
            return torch.stack([torch.as_tensor(item) for item in batched_inputs])
        if isinstance(first, torch.Tensor):
            return torch.stack(batched_inputs)
        if isinstance(first, np.generic):
            return torch.from_numpy(np.array(batched_inputs))
        if isinstance(first, bool | int | float):
            return torch.tensor(batched_inputs, dtype=torch.float64 if isinstance(first, float) else None)
    except (TypeError, ValueError, RuntimeError) as error:
        _refuse(field, f"cannot be collated ({' '.join(str(error).split())})", error)
    return _refuse(field, f"is of type {type(first).__name__}")


def _get(sample: Any, key: str) -> Any:
    try:
        return sample[key]
    except (KeyError, TypeError):
        return _refuse(key, "is missing in some samples")


def _refuse(field: str, problem: str, cause: Exception | None = None) -> NoReturn:
    raise DataError(
        f"Field '{field or 'sample'}' of the samples {problem}: "
        "let the dataset return tensors or arrays of the same shape, numbers or strings."
    ) from cause
