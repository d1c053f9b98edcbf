"""A trained model with the pictures that it is asked about: what every tool that shows a model begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from fastreid.data.transforms import build_transforms
from torch import Tensor, nn

from fastreid_projects.config.ready import ready
from fastreid_projects.data.images import ImageLike, as_rgb
from fastreid_projects.engine.load_model import load_trained
from fastreid_projects.errors import ConfigError


class OpenModel(NamedTuple):
    """A trained model and how it sees pictures.

    Attributes:
        cfg: its config, checked, with a device that exists.
        model: with its weights.
        transform: the config's test transform: PIL image -> float tensor (3, H, W) of 0..255.
    """

    cfg: Any
    model: nn.Module
    transform: Any

    def read(self, images: Sequence[ImageLike]) -> Tensor:
        """Return pictures as the model takes them, (N, 3, H, W) of 0..255 RGB; see :func:`.data.images.as_rgb`.

        Raises:
            DataError: one cannot be read; names it.
        """
        return torch.stack([self.transform(as_rgb(image)) for image in images])


def open_model(cfg: Any, purpose: str) -> OpenModel:
    """Check a config and load its ``MODEL.WEIGHTS``.

    Args:
        cfg: the model's config.
        purpose: what asks for the model, for the message: ``"Grad-CAM needs"``.

    Raises:
        ConfigError: no weights, or a config that cannot be used.
        WeightsError: weights that cannot be used.
    """
    if not cfg.MODEL.WEIGHTS:
        raise ConfigError(f"{purpose} MODEL.WEIGHTS, e.g. MODEL.WEIGHTS logs/my_run/model_final.pth")
    cfg = ready(cfg)
    return OpenModel(cfg, load_trained(cfg), build_transforms(cfg, is_train=False))
