"""Write pictures of Grad-CAM maps, for the command ``fastreid-projects gradcam``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastreid_projects.contract import compared_model
from fastreid_projects.engine.open_model import open_model
from fastreid_projects.errors import ConfigError
from fastreid_projects.visualization.gradcam import (
    gradcam,
    gradcam_pair,
    map_layers,
    named_layer,
)
from fastreid_projects.visualization.heatmap import overlay, pair_scale, save_png


def write_gradcam(
    cfg: Any, images: Sequence[str], output: str | Path, *, pair: bool = False, layer: str = ""
) -> list[Path]:
    """Write a PNG for each image and layer, with the image beside its map; a pair is in one PNG for each layer.

    Args:
        cfg: the model's config with ``MODEL.WEIGHTS``.
        images: paths; exactly two for a pair.
        output: folder of the files.
        pair: whether to show the similarity of the two images instead of each image's own feature.
        layer: dotted name of a module; by default the model's last maps.

    Returns:
        The paths of the files.

    Raises:
        ConfigError: there are no weights, not two images for a pair, or no such layer.
        DataError: an image cannot be read.
        WeightsError: the weights cannot be used.
    """
    if pair and len(images) != 2:
        raise ConfigError(f"a similarity needs two images, but {len(images)} are named")
    opened = open_model(cfg, "Grad-CAM needs")
    batch, model = opened.read(images), compared_model(opened.model)
    layers = named_layer(model, layer) if layer else map_layers(model)
    names = [Path(path).stem for path in images]
    if not pair:
        maps = gradcam(model, batch, layers=layers)
        return [
            save_png(Path(output) / f"{i:03d}_{name}_{key}.png", _beside(batch[i : i + 1], [found[i]]))
            for key, found in maps.items()
            for i, name in enumerate(names)
        ]
    similarity, first, second = gradcam_pair(model, batch[:1], batch[1:], layers)
    return [
        save_png(
            Path(output) / f"{names[0]}_{names[1]}_{key}_{similarity.item():.3f}.png",
            _beside(batch, [first[key][0], second[key][0]]),
        )
        for key in first
    ]


def _beside(images: Tensor, maps: Sequence[Tensor]) -> np.ndarray:
    """Return each image (3, H, W) in 0..255 beside its overlay, each on its own scale, as gradients differ."""
    tiles = []
    for image, attention in zip(images, maps, strict=True):
        pixels = image.clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        low, high = pair_scale(attention)
        tiles += [pixels, overlay(pixels, attention.numpy(), low=low, high=high)]
    return np.concatenate(tiles, axis=1)
