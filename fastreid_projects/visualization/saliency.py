"""Saliency of each branch of one or more models: Grad-CAM as one HTML file, and a PNG for each image.

| letter | meaning                                |
| ------ | -------------------------------------- |
| N      | images                                 |
| h, w   | size of a branch's last feature map    |
| D      | size of the model's feature            |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fastreid.modeling.meta_arch.mgn import MGN
from torch import Tensor, nn

from fastreid_projects.contract import HasParts, Part, compared_model
from fastreid_projects.data.images import read_image
from fastreid_projects.engine.open_model import open_model
from fastreid_projects.files import write_aside
from fastreid_projects.visualization.gradcam import gradcam, map_layers, strength
from fastreid_projects.visualization.heatmap import (
    Image,
    colour_bar,
    overlay,
    pair_scale,
    png_data_uri,
    save_png,
)
from fastreid_projects.visualization.pages import render

_GAP = 4  # white pixels between the tiles of a PNG


class Row(NamedTuple):
    """The row of one image.

    Attributes:
        name: the file's name.
        image: uint8 (H, W, 3).
        overlays: branch -> uint8 (H, W, 3), the image with the branch's map over it.
    """

    name: str
    image: Image
    overlays: dict[str, Image]


def saliency_parts(model: Any) -> dict[str, Part]:
    """Return the branches of a model by name, each with its own part of the feature.

    An architecture can name its own with a method ``saliency_parts()``, which returns name -> (layer, slice). For the
    host's MGN they are its eight heads (mgn.py:250); for others the last maps, each with the whole feature.

    Raises:
        ConfigError: the model has no map to show.
    """
    if isinstance(model, HasParts):
        return model.saliency_parts()
    layers = map_layers(model)
    names = ("b1", "b2", "b3", "b21", "b22", "b31", "b32", "b33")
    if isinstance(model, MGN):
        size = model.b1_head.weight.shape[1]
        return {name: Part(layers[name[:2]], slice(i * size, (i + 1) * size)) for i, name in enumerate(names)}
    return {name: Part(layer, slice(None)) for name, layer in layers.items()}


def saliency(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return where each branch's part of the feature comes from.

    Args:
        model: images (N, 3, H, W) of 0..255 -> features (N, D) in evaluation.
        images: RGB, 0..255, float.

    Returns:
        Branch -> Grad-CAM of the strength of its part, (N, h, w) >= 0, float32 on the CPU.
    """
    return {
        name: gradcam(model, images, strength(part.numbers), {name: part.layer})[name]
        for name, part in saliency_parts(model).items()
    }


def write_saliency(models: Mapping[str, Any], images: Sequence[str], output: str | Path) -> list[Path]:
    """Write ``saliency.html`` and one PNG for each image: the image, then each branch of each model.

    Args:
        models: name -> config with ``MODEL.WEIGHTS``; with several, columns are called ``name: branch``.
        images: paths.
        output: folder.

    Returns:
        The files, the HTML first.

    Raises:
        ConfigError: there are no weights, or a model has no map.
        DataError: an image cannot be read, or the folder cannot be written.
        WeightsError: weights cannot be used.
    """
    pictures = [np.asarray(read_image(path, format="RGB")) for path in images]
    rows = [Row(Path(path).name, picture, {}) for path, picture in zip(images, pictures, strict=True)]
    for name, cfg in models.items():
        for branch, maps in _maps_of(cfg, images).items():
            title = f"{name}: {branch}" if len(models) > 1 else branch
            for row, found in zip(rows, maps.numpy(), strict=True):
                low, high = pair_scale(found)
                row.overlays[title] = overlay(row.image, found, low=low, high=high)
    output = Path(output)
    pngs = [
        save_png(output / f"{i:03d}_{Path(row.name).stem}.png", _strip([row.image, *row.overlays.values()]))
        for i, row in enumerate(rows)
    ]
    return [write_aside(output / "saliency.html", _html(rows).encode()), *pngs]


def _maps_of(cfg: Any, images: Sequence[str]) -> dict[str, Tensor]:
    opened = open_model(cfg, "saliency needs")
    return saliency(compared_model(opened.model), opened.read(images))


def _strip(tiles: Sequence[Image]) -> Image:
    """Put tiles of the same height side by side on white."""
    gap = np.full((tiles[0].shape[0], _GAP, 3), 255, np.uint8)
    spaced = [part for tile in tiles for part in (gap, tile)][1:]
    return np.concatenate(spaced, axis=1)


def _html(rows: Sequence[Row]) -> str:
    shown = [
        (row.name, png_data_uri(row.image), [(k, png_data_uri(v)) for k, v in row.overlays.items()])
        for row in rows
    ]
    return render(
        "saliency.html.jinja",
        branches=list(rows[0].overlays) if rows else [],
        rows=shown,
        colour_bar=png_data_uri(colour_bar()),
    )
