"""The names of timm's models and the configs of their weights; nothing is built or downloaded."""

from __future__ import annotations

import difflib
from typing import Any, NamedTuple

from fastreid_projects.errors import ConfigError
from fastreid_projects.extras import need

BUILDER = "build_timm_backbone"
_KEY = f"MODEL.BACKBONE.DEPTH of {BUILDER}"


# Values of MODEL.BACKBONE.NAME whose DEPTH is a model of timm; a paper adds its own.
BUILDERS = {BUILDER}


class Pixels(NamedTuple):
    """The normalisation of images.

    Attributes:
        mean: mean of red, green and blue, 0..255.
        std: standard deviation of red, green and blue.
    """

    mean: list[float]
    std: list[float]


def require_timm() -> Any:
    """Import timm.

    Raises:
        MissingExtraError: it is not installed.
    """
    return need("timm", "timm", f"MODEL.BACKBONE.NAME {BUILDER}")


def check_name(name: str) -> None:
    """Check that timm has a model, e.g. ``"resnet50"``, and the weights named after a dot, ``"resnet50.a1_in1k"``.

    Raises:
        ConfigError: timm does not have them; the message names similar ones.
        MissingExtraError: timm is not installed.
    """
    timm = require_timm()
    model, _, tag = name.partition(".")
    if not timm.is_model(model):
        near = difflib.get_close_matches(model, timm.list_models(), n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() lists them."
        raise ConfigError(f"{_KEY} '{name}' is not a model of timm {timm.__version__}: {hint}")
    known = sorted(known.partition(".")[2] for known in timm.list_pretrained(f"{model}.*"))
    if tag and tag not in known:
        have = ", ".join(known) or "none"
        raise ConfigError(f"{_KEY} '{name}': timm has no weights '{tag}' of {model}; it has {have}.")


def pixels_of(name: str) -> Pixels | None:
    """Return the mean and standard deviation that a model's weights were trained with; None if timm does not know them.

    Raises:
        MissingExtraError: timm is not installed.
    """
    try:
        found = require_timm().get_pretrained_cfg(name)
    except RuntimeError:  # unknown weights, see check_name
        return None
    if found is None:
        return None
    return Pixels([round(255 * x, 4) for x in found.mean], [round(255 * x, 4) for x in found.std])
