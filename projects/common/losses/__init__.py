"""Losses by name: the registry, and what belongs to no single paper."""

from fastreid_projects.losses.registry import (
    LOSSES,
    NamedLoss,
    build_losses,
    check_loss_names,
    register_loss,
)

__all__ = ["LOSSES", "NamedLoss", "build_losses", "check_loss_names", "register_loss"]
