"""The origin of each part's feature: Grad-CAM for each part (Fig. 8, 9), as pictures and as shares of the body.

| letter | meaning                         |
| ------ | ------------------------------- |
| N      | images                          |
| K      | body parts                      |
| h x w  | size of the backbone's map      |
| H x W  | size of the images              |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from tabulate import tabulate
from torch import Tensor

from fastreid_projects.checkpoints.weights import load_state_dict_file
from fastreid_projects.engine.open_model import open_model
from fastreid_projects.errors import ConfigError
from fastreid_projects.visualization.gradcam import Score, gradcam, map_layers, strength
from fastreid_projects.visualization.heatmap import overlay, save_png
from fastreid_projects.visualization.spread import evenly_spread

from .data.part_dataset import unusable_mask
from .data.part_masks import mask_path, read_mask
from .meta_arch import MPN
from .regions import has_head_and_leg

_BATCH = 32


class BandShares(NamedTuple):
    """The distribution of each part's attention, over images with a head and a leg.

    Attributes:
        bands: (K, K), row k: the shares of part k's attention in the K even bands between the upper and the lower
            boundary of the body; the rest to 1 lies above or below the body.
        person: (K,) the share on the person's pixels.
        area: the person's share of the image, which a map without preference would reach.
        images: the number of counted images.
    """

    bands: Tensor
    person: Tensor
    area: float
    images: int

    def table(self) -> str:
        """Return the shares in per cent as Markdown."""
        parts = len(self.bands)
        head = ["part", *(f"band {j + 1}" for j in range(parts)), "on the person"]
        rows = [
            [f"{k + 1}", *(f"{100 * v:.1f}" for v in self.bands[k].tolist()), f"{100 * self.person[k]:.1f}"]
            for k in range(parts)
        ]
        rows.append(["area", *["-"] * parts, f"{100 * self.area:.1f}"])
        return tabulate(rows, headers=head, tablefmt="pipe", disable_numparse=True)


def part_score(model: Any, part: int, identities: Tensor | None = None, *, score: str = "identity") -> Score:
    """Return the score of a part that Grad-CAM explains: its classifier's logit of an identity, or its strength.

    Args:
        model: an MPN.
        part: k.
        identities: (N,) training labels, 0-based; None for those that the part's classifier predicts (Fig. 8, 9).
        score: ``"identity"``, or ``"feature"`` for half the squared length of the part's feature.
    """
    heads = model.heads
    channels = heads.conv2.out_channels
    rows = slice(part * channels, (part + 1) * channels)
    if score == "feature":
        return strength(rows)
    weight, bias = heads.classifier.weight[part].detach(), heads.classifier.bias[part].detach()
    if not heads.classifier.linear:
        weight = F.normalize(weight, dim=1)

    def logit(features: Tensor) -> Tensor:
        logits = features[:, rows] @ weight.to(features).t() + bias.to(features)
        chosen = logits.argmax(1) if identities is None else identities.to(logits.device)
        return logits.gather(1, chosen[:, None])[:, 0]

    return logit


def part_maps(
    model: Any, images: Tensor, identities: Tensor | None = None, *, score: str = "identity"
) -> Tensor:
    """Return the Grad-CAM of each part on the backbone's map.

    Args:
        model: an MPN with main tasks.
        images: (N, 3, H, W), RGB 0..255.
        identities: see :func:`part_score`.
        score: see :func:`part_score`.

    Returns:
        (N, K, h, w) >= 0, on the CPU.

    Raises:
        ConfigError: the model is not an MPN.
    """
    if not isinstance(model, MPN):
        raise ConfigError(f"{type(model).__name__} has no body parts; MODEL.META_ARCHITECTURE has to be MPN")
    layers = map_layers(model)
    scores = [part_score(model, part, identities, score=score) for part in range(model.heads.parts)]
    found = [next(iter(gradcam(model, images, one, layers).values())) for one in scores]
    return torch.stack(found, dim=1)


def band_shares(maps: Tensor, masks: Tensor) -> BandShares:
    """Return the shares of each part's attention by band of the body: do the maps lie on the parts?

    Args:
        maps: (N, K, h, w) >= 0.
        masks: (N, H, W) uint8 values of body parts.
    """
    found = has_head_and_leg(masks)
    maps, masks = maps[found], masks[found]
    large = F.interpolate(maps.double(), masks.shape[1:], mode="bilinear")
    large = large / large.sum((2, 3), keepdim=True).clamp(min=1e-12)
    parts = maps.shape[1]
    rows = (masks > 0).any(2)
    order = torch.arange(masks.shape[1])
    top = torch.where(rows, order, masks.shape[1]).amin(1, keepdim=True)
    bottom = torch.where(rows, order + 1, 0).amax(1, keepdim=True)
    band = (order - top) * parts // (bottom - top)
    band = torch.where((order >= top) & (order < bottom), band, parts)
    one_hot = F.one_hot(band, parts + 1).double()[..., :parts]
    shares = torch.einsum("nkr,nrj->nkj", large.sum(3), one_hot).mean(0)
    person = (large * (masks > 0)[:, None]).sum((2, 3)).mean(0)
    return BandShares(shares.float(), person.float(), float((masks > 0).double().mean()), len(maps))


def write_part_maps(
    cfg: Any, images: Sequence[str], output: str | Path, *, pictures: int = 24, score: str = "identity"
) -> tuple[list[Path], BandShares | None]:
    """Write pictures of the K maps of images, and compute the shares by band if the images have masks.

    Args:
        cfg: the config of an MPN with ``MODEL.WEIGHTS``.
        images: the paths of the images.
        output: the folder for the pictures, which are numbered: each image beside its K maps.
        pictures: the number of images to draw, evenly spread.
        score: what to explain, see :func:`part_score`.

    Raises:
        ConfigError: there are no weights, or the architecture is another one.
        DataError: an image cannot be read.
        WeightsError: the weights cannot be used.
    """
    if pictures < 0:
        raise ConfigError(f"--pictures is {pictures} but has to be at least 0")
    if score == "identity" and cfg.MODEL.WEIGHTS:
        cfg = _with_classes(cfg)
    opened = open_model(cfg, "part maps need")
    folder = cfg.MODEL.MPN.PRIOR.FOLDER
    shown = set(evenly_spread(images, pictures))
    files: list[Path] = []
    maps, masks = [], []
    for start in range(0, len(images), _BATCH):
        paths = images[start : start + _BATCH]
        batch = opened.read(paths)
        found = part_maps(opened.model, batch, score=score)
        for path, image, own in zip(paths, batch, found, strict=True):
            if path in shown:
                name = f"{len(files):03d}_{Path(path).stem}.png"  # images of several folders may share a name
                files.append(save_png(Path(output) / name, _strip(image, own)))
            if not unusable_mask(path, folder):
                maps.append(own)
                masks.append(_resized(read_mask(mask_path(path, folder)), (image.shape[1], image.shape[2])))
    return files, band_shares(torch.stack(maps), torch.stack(masks)) if maps else None


def _with_classes(cfg: Any) -> Any:
    """Return the config with as many classes as the weights' classifier has, so that it is loaded, too."""
    weight = load_state_dict_file(cfg.MODEL.WEIGHTS).get("heads.classifier.weight")
    if weight is None or weight.dim() != 3:
        raise ConfigError(
            f"{cfg.MODEL.WEIGHTS} does not hold a classifier of body parts, whose prediction the maps explain: use the "
            "weights of an MPN run, or explain the features with --score feature"
        )
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.HEADS.NUM_CLASSES = weight.shape[1]
    return cfg


def _resized(mask: np.ndarray, size: tuple[int, int]) -> Tensor:
    tensor = torch.from_numpy(mask)[None, None].float()
    return F.interpolate(tensor, size, mode="nearest")[0, 0].to(torch.uint8)


def _strip(image: Tensor, maps: Tensor) -> np.ndarray:
    """Return an image (3, H, W), 0..255, and its K maps in a row, each with its own scale."""
    pixels = image.clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    laid = [overlay(pixels, part.numpy(), low=0.0, high=max(float(part.max()), 1e-6)) for part in maps]
    return np.concatenate([pixels, *laid], axis=1)
