"""The exponential moving average of a model's weights, which is evaluated and saved instead of the trained weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage(HookBase):
    """Keep the average of trainable parameters and of floating point buffers, such as those of batch norms.

    A checkpoint's ``model`` is the average, so that loading it gives the evaluated weights; the trained weights are
    saved beside it as ``average``, for ``--resume``.

    Args:
        model: the model, not inside a DistributedDataParallel.
        decay: share of the old average that is kept in an update, in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._tensors = {
            **{name: p for name, p in model.named_parameters() if p.requires_grad},
            **{name: b for name, b in _saved_buffers(model).items() if b.is_floating_point()},
        }
        self._update = get_ema_multi_avg_fn(decay)
        self._average: dict[str, Tensor] = {}
        self._trained: dict[str, Tensor] = {}
        self._shown = 0

    def before_train(self) -> None:
        """Start from the current weights, unless a checkpoint has restored an average."""
        if not self._average:
            self._average = _copies(self._tensors)

    def after_step(self) -> None:
        """Update the average with the weights after a step."""
        current = [tensor.detach() for tensor in self._tensors.values()]
        self._update([*self._average.values()], current, 0)

    def after_epoch(self) -> None:
        """Set the average of all processes to their mean, as they differ in the statistics of batch norms."""
        if comm.get_world_size() > 1:
            for tensor in self._average.values():
                torch.distributed.all_reduce(tensor)
                tensor /= comm.get_world_size()

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Put the average into the model, and restore the trained weights afterwards; calls may be nested."""
        if not self._shown and self._average:
            self._trained = _copies(self._tensors)
            _write(self._tensors, self._average)
        self._shown += 1
        try:
            yield
        finally:
            self._shown -= 1
            if not self._shown and self._trained:
                _write(self._tensors, self._trained)
                self._trained = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the trained weights; the ``model`` of a checkpoint is the average."""
        return {"trained": dict(self._trained)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the average from the loaded model, and continue with the trained weights in ``state``.

        Raises:
            KeyError: the state belongs to another model.
        """
        trained = state["trained"]
        if trained.keys() != self._tensors.keys():
            raise KeyError("the averaged weights have other names")
        self._average = _copies(self._tensors)
        _write(self._tensors, trained)


def _saved_buffers(model: nn.Module) -> dict[str, Tensor]:
    saved = model.state_dict(keep_vars=True)
    return {name: buffer for name, buffer in model.named_buffers() if name in saved}


def _copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@torch.no_grad()
def _write(tensors: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        tensor.copy_(values[name])
