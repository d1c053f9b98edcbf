"""Learning rates that fall from a backbone's last layer to its first (``SOLVER.LAYER_DECAY``; Clark et al. 2020).

This is a way to fine-tune pretrained transformers: early layers, which are general, change less.
"""

from __future__ import annotations

import re

from torch import nn

from fastreid_projects.contract import NumbersLayers
from fastreid_projects.errors import ConfigError

_BLOCK = re.compile(r"blocks\.(\d+)\.")


def rate_factors(model: nn.Module, decay: float) -> dict[str, float]:
    """Return the factor of each parameter's learning rate.

    Args:
        model: a model whose ``backbone`` is a model of timm, FastReID's ViT or another one that numbers its layers.
        decay: ratio 0..1 of a layer's rate to that of the next layer; 1 gives all layers the same rate.

    Returns:
        Parameter name -> 0..1; the heads and a backbone's last layer have 1.

    Raises:
        ConfigError: decay is not in 0..1, or the layers of the backbone have no numbers.
    """
    if not 0 < decay <= 1:
        raise ConfigError(f"SOLVER.LAYER_DECAY is {decay}, but has to be above 0 and at most 1")
    names = [name for name, _ in model.named_parameters()]
    if decay == 1:
        return dict.fromkeys(names, 1.0)
    numbers = _numbers(model)
    last = max(numbers.values())
    return {name: decay ** (last - numbers.get(name, last)) for name in names}


def _numbers(model: nn.Module) -> dict[str, int]:
    backbone = dict(model.named_children()).get("backbone")
    if isinstance(backbone, NumbersLayers):
        found = backbone.layer_numbers()
    elif backbone is not None and {"patch_embed", "blocks", "norm"} <= dict(backbone.named_children()).keys():
        found = _of_the_hosts_vit(backbone)
    else:
        raise ConfigError(
            "SOLVER.LAYER_DECAY is for backbones whose layers are numbered: those of timm, and FastReID's "
            f"build_vit_backbone; {type(backbone or model).__name__} is another one; set SOLVER.LAYER_DECAY 1.0"
        )
    return {f"backbone.{name}": number for name, number in found.items()}


def _of_the_hosts_vit(backbone: nn.Module) -> dict[str, int]:
    """Number the layers as timm does: 0 for the embeddings, the blocks from 1, the norm as the last block."""
    names = [name for name, _ in backbone.named_parameters()]
    numbers = {name: int(block[1]) + 1 for name in names if (block := _BLOCK.match(name))}
    last = max(numbers.values())
    return {name: numbers.get(name, last if name.startswith("norm.") else 0) for name in names}
