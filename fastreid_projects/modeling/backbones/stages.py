"""Find the modules that a model of timm calls to compute its map: its stages, and the unused head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fastreid_projects.modeling.modes import evaluating

_STAGES = 5


class Trace(NamedTuple):
    """The record of one forward pass.

    Attributes:
        maps: the model's output before its head, with its graph.
        passed: dotted names of the called modules, in order.
    """

    maps: Tensor
    passed: list[str]


def trace(model: Any, size: tuple[int, int]) -> Trace:
    """Apply a model of timm, without its head, to a grey image of (height, width)."""
    passed: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda module, inputs, name=name: passed.append(name))
        for name, module in model.named_modules()
    ]
    try:
        with evaluating(model), torch.enable_grad():
            maps = model.forward_features(torch.zeros(1, 3, *size))
    finally:
        for handle in handles:
            handle.remove()
    return Trace(maps, passed)


def remove_head(model: nn.Module, maps: Tensor) -> None:
    """Replace the children whose weights do not affect the maps, in place.

    ``fc_norm`` is kept: it is the last norm of transformers that pool before it.
    """
    named = list(model.named_parameters())
    gradients = torch.autograd.grad(maps.sum(), [weight for _, weight in named], allow_unused=True)
    with_weights = {name.partition(".")[0] for name, _ in named}
    used = {name.partition(".")[0] for (name, _), g in zip(named, gradients, strict=True) if g is not None}
    for name, _ in list(model.named_children()):
        if name in with_weights - used - {"fc_norm"}:
            setattr(model, name, nn.Identity())


def find_groups(model: Any, passed: Sequence[str], size: tuple[int, int]) -> list[list[str]] | None:
    """Return the names of the modules in each of five stages.

    Stages end where timm's ``feature_info`` says; if it names four, all that comes before them is the first stage.
    Modules without weights that follow a stage, such as the pooling of a ResNet's stem, belong to it.

    Returns:
        None if the modules, called one after the other, do not compute the model.
    """
    ends = [info["module"] for info in model.feature_info]
    opened = {end.rpartition(".")[0] for end in ends} - {""}
    units = [name for name in passed if name not in opened and (name.rpartition(".")[0] in opened | {""})]
    units = [name for name in units if name]
    if len(set(units)) < len(units) or not set(ends) <= set(units):
        return None
    cuts = [_end(model, units, end) for end in ends]
    if len(cuts) == _STAGES - 1:
        cuts.insert(0, _end_before(units, ends[0]))
    groups = [units[a:b] for a, b in zip([0, *cuts], [*cuts[:-1], len(units)], strict=False)]
    return groups if len(groups) == _STAGES and all(groups) and _same(model, groups, size) else None


def _end(model: nn.Module, units: Sequence[str], end: str) -> int:
    """Return the position after a module and the modules without weights that follow it."""
    place = units.index(end) + 1
    while place < len(units) and next(model.get_submodule(units[place]).parameters(), None) is None:
        place += 1
    return place


def _end_before(units: Sequence[str], first: str) -> int:
    return units.index(first)


@torch.no_grad()
def _same(model: Any, groups: Sequence[Sequence[str]], size: tuple[int, int]) -> bool:
    image = torch.linspace(-2, 2, 3 * size[0] * size[1]).view(1, 3, *size)
    with evaluating(model):
        x = image
        try:
            for name in (name for group in groups for name in group):
                x = model.get_submodule(name)(x)
        except (RuntimeError, TypeError, ValueError):
            return False
        whole = model.forward_features(image)
        return x.shape == whole.shape and (x.is_meta or torch.equal(x, whole))
