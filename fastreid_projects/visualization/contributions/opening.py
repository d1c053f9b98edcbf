"""Open a model at its last feature maps: its stages, and the branches from which its feature is pooled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastreid.modeling.heads.clas_head import ClasHead
from fastreid.modeling.meta_arch.baseline import Baseline
from fastreid.modeling.meta_arch.mgn import MGN
from torch import Tensor, nn

from fastreid_projects.contract import Branch, CutsItself, Explainable
from fastreid_projects.modeling.backbone_stages import split_stages

# The maps after each of the model's stages -> its branches; a list of only the last map is enough if others are unused.
Opener = Callable[[Sequence[Tensor]], list[Branch]]


def branches_of(model: nn.Module) -> Opener | None:
    """Return the function that turns the maps after a model's five stages into branches; None if it has no branches."""
    if isinstance(model, Explainable):
        return model.explained_branches
    if isinstance(model, MGN):
        return partial(_mgn_branches, model)
    if plain_baseline(model):
        return partial(_baseline_branches, model)
    return None


def plain_baseline(model: nn.Module) -> bool:
    """Return whether a model's feature is its backbone's map, pooled and passed through a neck, as in BoT and SBS."""
    heads = dict(model.named_children()).get("heads")
    if not isinstance(model, Baseline) or heads is None or isinstance(heads, ClasHead):
        return False
    return {"pool_layer", "bottleneck"} <= dict(heads.named_children()).keys()


def trunk(model: Any) -> list[nn.Module]:
    """Return the five stages from the image to the (first) last map; they share the model's parameters."""
    if isinstance(model, Explainable):
        return model.explained_stages()
    if not isinstance(model, MGN):
        return split_stages(model.backbone)
    # mgn.py:102-112: conv1, bn1, relu, maxpool, layer1, layer2, layer3[0]; a branch is layer3[1:], layer4.
    backbone, (conv4, conv5) = model.backbone, model.b1
    return [backbone[:4], backbone[4], backbone[5], nn.Sequential(backbone[6], conv4), conv5]


def stages_to_maps(model: Any) -> list[nn.Module]:
    """Return modules from the image to the last maps: the five stages, or the whole backbone if one map is enough.

    Raises:
        ConfigError: the backbone returns several maps and cannot be cut.
    """
    cut = not plain_baseline(model) or isinstance(model.backbone, CutsItself)
    return trunk(model) if cut else [model.backbone]


def _baseline_branches(model: Any, maps: Sequence[Tensor]) -> list[Branch]:
    return [Branch(maps[-1], model.heads.pool_layer, model.heads.bottleneck)]


def _mgn_branches(model: Any, maps: Sequence[Tensor]) -> list[Branch]:
    """Return the branches in the order of the concatenated feature (mgn.py:250)."""
    common = model.backbone[6](maps[2])
    b1, b2, b3 = maps[-1], model.b2(common), model.b3(common)
    parts = [
        *(("b1", b1, (0, 1)), ("b2", b2, (0, 1)), ("b3", b3, (0, 1))),
        *((f"b2{i + 1}", b2, (i, 2)) for i in range(2)),
        *((f"b3{i + 1}", b3, (i, 3)) for i in range(3)),
    ]
    heads: Any = dict(model.named_children())
    made = [(heads[f"{name}_head"], features, stripe) for name, features, stripe in parts]
    return [Branch(features, head.pool_layer, head.bottleneck, stripe) for head, features, stripe in made]
