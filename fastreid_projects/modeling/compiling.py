"""Compile a model's backbone, which takes all but a few per cent of a step's time."""

from __future__ import annotations

from torch import nn

from fastreid_projects.errors import ConfigError


def compile_backbone(model: nn.Module) -> None:
    """Let ``torch.compile`` compile the backbone at its first call, without changing names or weights.

    Losses, heads and their logging are not compiled: they branch on values, and take little time.

    Raises:
        ConfigError: the architecture does not call its backbone as a whole.
    """
    backbone = dict(model.named_children()).get("backbone")
    if backbone is None or type(backbone).forward is nn.Module.forward:
        raise ConfigError(
            f"TRAINING.COMPILE is True, but {type(model).__name__} does not call its backbone as a whole: set it "
            "False"
        )
    backbone.compile()
