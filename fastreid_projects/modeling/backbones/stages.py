"""What a model of timm passes on the way to its map: its stages, and the head that it does not pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fastreid_projects.modeling.modes import evaluating

_STAGES = 5


class Trace(NamedTuple):
    """What became of an image.

    Attributes:
        maps: what the model gives before its head, with its graph.
        passed: dotted names of the modules that were called, in this order.
    """

    maps: Tensor
    passed: list[str]


def trace(model: Any, size: tuple[int, int]) -> Trace:
    """Send a grey image of (height, width) through a model of timm up to its head."""
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
    """Replace the children whose weights the maps do not depend on, in place.

    ``fc_norm`` stays: it is the last norm of transformers that timm pools before it.
    """
    named = list(model.named_parameters())
    gradients = torch.autograd.grad(maps.sum(), [weight for _, weight in named], allow_unused=True)
    with_weights = {name.partition(".")[0] for name, _ in named}
    used = {name.partition(".")[0] for (name, _), g in zip(named, gradients, strict=True) if g is not None}
    for name, _ in list(model.named_children()):
        if name in with_weights - used - {"fc_norm"}:
            setattr(model, name, nn.Identity())


def find_groups(model: Any, passed: Sequence[str], size: tuple[int, int]) -> list[list[str]] | None:
    """Return the names of the modules that make up each of five stages.

    They end where timm's ``feature_info`` says; where it names four, what comes before is the first. Modules without
    weights that follow, such as the pooling of a ResNet's stem, belong to the stage before.

    Returns:
        None where the modules, one after the other, do not do what the model does.
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
    """The place behind a module, and behind those without weights that follow it."""
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
