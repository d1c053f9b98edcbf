"""A trained model that is ready for pictures: the first step of every tool that shows a model."""

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
    """A trained model and the transform of its pictures.

    Attributes:
        cfg: the checked config of the model, with a device that exists.
        model: the model with its weights loaded.
        transform: the test transform of the config: PIL image -> float tensor (3, H, W), 0..255.
    """

    cfg: Any
    model: nn.Module
    transform: Any

    def read(self, images: Sequence[ImageLike]) -> Tensor:
        """Return pictures as the input of the model, (N, 3, H, W), RGB 0..255; see :func:`.data.images.as_rgb`.

        Raises:
            DataError: a picture cannot be read; the message names it.
        """
        return torch.stack([self.transform(as_rgb(image)) for image in images])


def open_model(cfg: Any, purpose: str) -> OpenModel:
    """Check a config and load its ``MODEL.WEIGHTS``.

    Args:
        cfg: the model's config.
        purpose: who needs the weights, as the start of the error message: ``"Grad-CAM needs"``.

    Raises:
        ConfigError: the config names no weights or cannot be used.
        WeightsError: the weights cannot be used.
    """
    if not cfg.MODEL.WEIGHTS:
        raise ConfigError(f"{purpose} MODEL.WEIGHTS, e.g. MODEL.WEIGHTS logs/my_run/model_final.pth")
    cfg = ready(cfg)
    return OpenModel(cfg, load_trained(cfg), build_transforms(cfg, is_train=False))
