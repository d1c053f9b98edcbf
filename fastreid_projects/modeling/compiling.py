"""Compiling a model's backbone, where all but a few per cent of a step's time goes."""

from __future__ import annotations

from torch import nn

from fastreid_projects.errors import ConfigError


def compile_backbone(model: nn.Module) -> None:
    """Let ``torch.compile`` translate the backbone at its first call; names and weights stay what they are.

    Losses, heads and what they log stay as they are: they branch on values, and take little time.

    Raises:
        ConfigError: the architecture has no backbone that it calls as a whole.
    """
    backbone = dict(model.named_children()).get("backbone")
    if backbone is None or type(backbone).forward is nn.Module.forward:
        raise ConfigError(
            f"TRAINING.COMPILE is True, but {type(model).__name__} has no backbone that it calls as a whole: set it "
            "False"
        )
    backbone.compile()
