"""Initialise a model whose weights are not loaded."""

from __future__ import annotations

from fastreid.modeling.backbones.resnet import BasicBlock, Bottleneck
from torch import nn

from fastreid_projects.errors import ConfigError


def zero_residuals(model: nn.Module) -> None:
    """Set the scale of the last norm of each residual block to 0 (Goyal et al. 2017, sec. 5.1).

    Raises:
        ConfigError: the model does not have residual blocks of the host's ResNet.
    """
    last = [
        m.bn3 if isinstance(m, Bottleneck) else m.bn2
        for m in model.modules()
        if isinstance(m, BasicBlock | Bottleneck)
    ]
    if not last:
        raise ConfigError(
            "MODEL.BACKBONE.ZERO_INIT_RESIDUAL is for ResNets, but the model has no residual blocks; set it to False"
        )
    for norm in last:
        nn.init.zeros_(norm.weight)
