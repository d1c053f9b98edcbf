"""A picture of the attention maps of stage4, stage5 and stage6 of several models side by side (fig. 3)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fastreid_projects.data.datasets import open_dataset, subset
from fastreid_projects.data.images import read_image
from fastreid_projects.engine.open_model import open_model
from fastreid_projects.errors import ConfigError
from fastreid_projects.files import check_writable, write_aside
from fastreid_projects.losses.feature_maps import FeatureMaps
from fastreid_projects.visualization.heatmap import overlay, pair_scale

from .backbone import DilatedResNet
from .losses import attention_map, self_attention_constraint

_KEY = "MODEL.LOSSES.SAC.LAYERS"
_INCH = 1.1


class Attention(NamedTuple):
    """The attention of a model.

    Attributes:
        maps: title of a stage -> attention (N, H, W) of unit l2 norm.
        constraint: L_sac of the images, 0 if all stages have the same attention.
    """

    maps: dict[str, Tensor]
    constraint: float


@torch.no_grad()
def attention_of(model: nn.Module, images: Tensor, layers: Sequence[str] = ("backbone",)) -> Attention:
    """Return the attention of the modules that the constraint compares, in evaluation mode.

    Args:
        model: any model of the host; its mode stays the same.
        images: (N, 3, h, w) of 0..255.
        layers: ``MODEL.LOSSES.SAC.LAYERS``.

    Raises:
        ConfigError: a layer does not exist or does not give a map.
    """
    watched, was_training = FeatureMaps(model, layers, _KEY, training=False), model.training
    device = next(model.parameters()).device
    model.eval()({"images": images.to(device, torch.float32, copy=True)})
    model.train(was_training)
    features = watched.take()
    backbone = dict(model.named_children()).get("backbone")
    levels = backbone.levels if isinstance(backbone, DilatedResNet) else ()
    named = tuple(layers) == ("backbone",) and len(levels) == len(features)
    titles = (
        [f"stage{level}" for level in levels] if named else [f"map {i + 1}" for i in range(len(features))]
    )
    constraint = self_attention_constraint(features).item() if len(features) > 1 else 0.0
    return Attention(
        {title: attention_map(m).cpu() for title, m in zip(titles, features, strict=True)}, constraint
    )


def write_attention(
    models: Mapping[str, Any], output: str | Path, images: Sequence[str] = (), count: int = 6
) -> tuple[Path, dict[str, float]]:
    """Draw a row for each image: the image and the overlays of all stages of each model, with one scale per row.

    Args:
        models: title -> config with ``MODEL.WEIGHTS``.
        output: the path of the picture, in any format that matplotlib writes.
        images: the paths of the images; by default the first query of each of ``count`` identities of the test set.
        count: the number of images if none are named.

    Returns:
        The file, and the L_sac of each model over these images.

    Raises:
        ConfigError: there are no weights, layers give no maps, or the format is unknown.
        DataError: an image cannot be read.
        WeightsError: the weights cannot be used.
    """
    _check_picture(Path(output))
    if count < 1:
        raise ConfigError(f"--count is {count} but has to be at least 1")
    first = next(iter(models.values()))
    paths = list(images) or queries(first, count)
    found = {title: _attention(cfg, paths) for title, cfg in models.items()}
    rows = []
    for i, path in enumerate(paths):
        pixels = np.asarray(read_image(path, format="RGB"))
        maps = [m[i].numpy() for attention in found.values() for m in attention.maps.values()]
        low, high = pair_scale(*maps)
        rows.append([pixels, *(overlay(pixels, m, low=low, high=high) for m in maps)])
    titles = ["image", *(f"{title}\n{stage}" for title, a in found.items() for stage in a.maps)]
    return _save(rows, titles, Path(output)), {title: a.constraint for title, a in found.items()}


def queries(cfg: Any, count: int) -> list[str]:
    """Return the first query image of each of the first ``count`` identities of the config's first test set."""
    name = cfg.DATASETS.TESTS[0]
    firsts: dict[Any, str] = {}
    for path, pid, *_ in subset(open_dataset(cfg, name), name, "query"):
        firsts.setdefault(pid, path)
    return list(firsts.values())[:count]


def _attention(cfg: Any, paths: Sequence[str]) -> Attention:
    opened = open_model(cfg, "attention maps need")
    return attention_of(opened.model, opened.read(paths), cfg.MODEL.LOSSES.SAC.LAYERS)


def _check_picture(path: Path) -> None:
    """Check before the models run that the picture can be written."""
    from matplotlib.backend_bases import FigureCanvasBase

    check_writable(path)
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix and path.suffix.lower().lstrip(".") not in known:
        raise ConfigError(f"{path} cannot be written as {path.suffix}: use one of {', '.join(known)}")


def _save(rows: list[list[Any]], titles: list[str], path: Path) -> Path:
    from matplotlib.figure import Figure

    height, width = rows[0][0].shape[:2]
    figure = Figure(figsize=(_INCH * len(titles), _INCH * len(rows) * height / width + 0.5), layout="tight")
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for row, cells in enumerate(rows):
        for column, picture in enumerate(cells):
            axes[row][column].imshow(picture)
            axes[row][column].set_axis_off()
            if row == 0:
                axes[row][column].set_title(titles[column], fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.lstrip(".") or "png", dpi=100)
    return write_aside(path, buffer.getvalue())
