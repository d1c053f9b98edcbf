"""Losses by their name in ``MODEL.LOSSES.NAME``.

A registered loss is an ``nn.Module`` class that offers :class:`fastreid_projects.contract.Loss`. This module
needs only torch.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple, TypeVar

from torch import nn

from fastreid_projects.contract_checks import check_offers
from fastreid_projects.errors import ConfigError, name_taken

LOSSES: dict[str, Any] = {}

_L = TypeVar("_L", bound=type[nn.Module])


class NamedLoss(NamedTuple):
    """A loss as an architecture uses it.

    Attributes:
        key: its key in the dictionary of losses, e.g. ``"loss_focal"``.
        inputs: the kind of its first argument.
        module: the loss module.
        scale: its weight in the total loss (``MODEL.LOSSES.<NODE>.SCALE``).
    """

    key: str
    inputs: str
    module: nn.Module
    scale: float


def register_loss(cls: _L) -> _L:
    """Register a loss under its class name; a class decorator.

    Raises:
        NameTakenError: another class already has the name.
        TypeError: the class lacks a part of :class:`fastreid_projects.contract.Loss`, or has it in another form.
    """
    if cls.__name__ in LOSSES:
        raise name_taken("loss", cls.__name__, LOSSES[cls.__name__])
    check_offers("loss", cls.__name__, cls)
    LOSSES[cls.__name__] = cls
    return cls


def check_loss_names(names: Iterable[str], inputs: Collection[str], architecture: str) -> None:
    """Check ``MODEL.LOSSES.NAME`` against the registry and against what the architecture can feed.

    Raises:
        ConfigError: a name is unknown, or its loss needs inputs that the architecture does not have.
    """
    if isinstance(names, str):
        raise ConfigError(f"MODEL.LOSSES.NAME is the text '{names}'; write a list, e.g. \"('{names}',)\"")
    for name in names:
        if name not in LOSSES:
            near = difflib.get_close_matches(str(name), LOSSES, n=1, cutoff=0.4)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ConfigError(
                f"MODEL.LOSSES.NAME holds '{name}', which is not a known loss{hint}; "
                f"known are {', '.join(sorted(LOSSES))}"
            )
        wanted = LOSSES[name].inputs
        if wanted not in inputs:
            raise ConfigError(
                f"MODEL.LOSSES.NAME holds '{name}', which works on {wanted}, "
                f"but {architecture} offers {' and '.join(sorted(inputs))}"
            )
    twice = [name for number, name in enumerate(names) if name in list(names)[:number]]
    if twice:
        raise ConfigError(f"MODEL.LOSSES.NAME holds '{twice[0]}' twice; name it once and set its SCALE")


def build_losses(cfg: Any, names: Iterable[str]) -> list[NamedLoss]:
    """Build the named losses, whose names have been checked, from their config nodes.

    Raises:
        ConfigError: a loss refuses a value.
    """
    built = []
    for name in names:
        cls = LOSSES[name]
        scale = float(cfg.MODEL.LOSSES[cls.config_node].SCALE) if cls.config_node else 1.0
        built.append(NamedLoss(loss_key(name), cls.inputs, _from_config(cls, cfg), scale))
    return built


def _from_config(cls: Any, cfg: Any) -> nn.Module:
    try:
        return cls.from_config(cfg)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"MODEL.LOSSES.{cls.config_node}: {error}") from error


def loss_key(name: str) -> str:
    """Return the key of a loss in the dictionary of losses: ``"loss_fidi"`` for ``"FIDILoss"``."""
    words = re.sub(r"Loss$", "", name)
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words)
    return "loss_" + words.lower()
