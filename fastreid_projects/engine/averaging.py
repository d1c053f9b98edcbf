"""The exponential moving average of a model's weights: evaluated and saved in their place, trained beside them."""

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
    """Keeps the average of trainable parameters and of floating buffers, as those of batch norms.

    A checkpoint's ``model`` is the average, so that whoever loads it has what was evaluated; what is trained stands
    beside it as ``average``, for ``--resume``.

    Args:
        model: not inside a DistributedDataParallel.
        decay: share of the old average that stays after an update, in [0, 1).
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
        """Start from the weights at hand, unless a checkpoint has brought an average."""
        if not self._average:
            self._average = _copies(self._tensors)

    def after_step(self) -> None:
        """Take the step's weights."""
        current = [tensor.detach() for tensor in self._tensors.values()]
        self._update([*self._average.values()], current, 0)

    def after_epoch(self) -> None:
        """Give all processes the mean of their averages, which differ in the statistics of batch norms."""
        if comm.get_world_size() > 1:
            for tensor in self._average.values():
                torch.distributed.all_reduce(tensor)
                tensor /= comm.get_world_size()

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Put the average into the model, and back afterwards what is trained; also one within the other."""
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
        """What is trained; a checkpoint's model is the average."""
        return {"trained": dict(self._trained)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the average from the model, which has been loaded, and continue with what is trained.

        Raises:
            KeyError: the state is another model's.
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
