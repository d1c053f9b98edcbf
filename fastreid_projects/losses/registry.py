"""Losses by their name in ``MODEL.LOSSES.NAME``.

A registered loss is an ``nn.Module`` class with

- ``inputs``: what its first argument is: ``"features"`` (N, D), ``"logits"`` (N, classes), or a name of its own
  that only the architecture offering it knows,
- ``config_node``: its node below ``MODEL.LOSSES`` (which has a ``SCALE``), or "" for none,
- ``from_config(cfg)``: a class method that builds it,
- ``forward(inputs, labels)``: a scalar.

This module needs torch alone.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple, TypeVar

from torch import nn

from fastreid_projects.errors import ConfigError, name_taken

LOSSES: dict[str, Any] = {}

_L = TypeVar("_L", bound=type[nn.Module])


class NamedLoss(NamedTuple):
    """A loss as an architecture uses it.

    Attributes:
        key: its key in the loss dictionary, e.g. ``"loss_focal"``.
        inputs: what its first argument is.
        module: the loss.
        scale: weight in the total loss (``MODEL.LOSSES.<NODE>.SCALE``).
    """

    key: str
    inputs: str
    module: nn.Module
    scale: float


def register_loss(cls: _L) -> _L:
    """Class decorator: make a loss known by its class name. A second class of that name is an error."""
    if cls.__name__ in LOSSES:
        raise name_taken("loss", cls.__name__, LOSSES[cls.__name__])
    for attribute in ("inputs", "config_node", "from_config"):
        if not hasattr(cls, attribute):
            raise TypeError(f"the loss {cls.__name__} has no '{attribute}'")
    LOSSES[cls.__name__] = cls
    return cls


def check_loss_names(names: Iterable[str], inputs: Collection[str], architecture: str) -> None:
    """Check ``MODEL.LOSSES.NAME`` against the registry and against what the architecture can feed.

    Raises:
        ConfigError: a name is unknown, or its loss wants inputs that the architecture does not have.
    """
    if isinstance(names, str):
        raise ConfigError(f"MODEL.LOSSES.NAME is the text '{names}'; write a list, e.g. \"('{names}',)\"")
    for name in names:
        if name not in LOSSES:
            near = difflib.get_close_matches(str(name), LOSSES, n=1, cutoff=0.4)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ConfigError(
                f"MODEL.LOSSES.NAME holds '{name}', which is no known loss{hint}; known are {', '.join(sorted(LOSSES))}"
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
    """Build the named losses from their config nodes; the names have been checked.

    Raises:
        ConfigError: a value that the loss refuses.
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
    """Key of a loss in the loss dictionary: ``"loss_fidi"`` for ``"FIDILoss"``."""
    words = re.sub(r"Loss$", "", name)
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words)
    return "loss_" + words.lower()
