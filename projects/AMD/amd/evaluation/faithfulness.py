"""Measure whether the maps fall on the attribute, on datasets that know its true pixels.

| letter | meaning                       |
| ------ | ----------------------------- |
| M      | attributes                    |
| H, W   | size of the masks             |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from fastreid.utils import comm
from torch import Tensor

MaskReader = Callable[[str], Any]


def attention_in_mask(attention: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return the share of each attribute's attention that is inside its mask, and the mask's share of the image.

    Args:
        attention: (M, h, w), positive; resized bilinearly to the masks.
        masks: (M, H, W) bool.

    Returns:
        Two tensors (M,) in [0, 1].
    """
    size = (masks.shape[-2], masks.shape[-1])
    maps = F.interpolate(attention.float().unsqueeze(0), size=size, mode="bilinear", align_corners=False)[0]
    inside = (maps * masks).sum(dim=(1, 2)) / maps.sum(dim=(1, 2))
    return inside, masks.float().mean(dim=(1, 2))


def points_into_mask(attention: Tensor, masks: Tensor) -> Tensor:
    """Play the pointing game: return whether the pixel with the greatest attention is inside the mask, (M,) bool.

    Args:
        attention: (M, h, w); resized bilinearly to the masks.
        masks: (M, H, W) bool.
    """
    size = (masks.shape[-2], masks.shape[-1])
    maps = F.interpolate(attention.float().unsqueeze(0), size=size, mode="bilinear", align_corners=False)[0]
    return masks.flatten(1).gather(1, maps.flatten(1).argmax(dim=1, keepdim=True)).squeeze(1)


class MaskShares:
    """Density and pointing of maps, averaged over named groups."""

    def __init__(self) -> None:
        self._found: dict[str, list[Tensor]] = {}

    def add(self, name: str, maps: Tensor, masks: Tensor) -> None:
        """Add maps (K, h, w) >= 0 and their masks (K, H, W) bool to a group; maps of zeros are left out."""
        marked = maps.flatten(1).amax(dim=1) > 0 if len(maps) else torch.zeros(0, dtype=torch.bool)
        if not marked.any():
            return
        maps, masks = maps[marked], masks[marked]
        inside, area = attention_in_mask(maps, masks)
        found = torch.stack([inside, area, points_into_mask(maps, masks).float()], dim=1)
        self._found.setdefault(name, []).append(found)

    def compute(self) -> dict[str, float]:
        """Return ``density`` (inside over outside), and ``pointing`` and ``area`` (of the masks) in per cent.

        The name of each result is the group's, with ``{}`` replaced by the measure's name.
        """
        results = {}
        for name, found in self._found.items():
            inside, area, pointed = torch.cat(found).double().mean(dim=0).tolist()
            results[name.format("density")] = density_of(inside, area)
            results[name.format("pointing")] = 100 * pointed
            results[name.format("area")] = 100 * area
        return results


def density_of(inside: float, area: float) -> float:
    """Return the ratio of a map's density inside a mask to that outside.

    Args:
        inside: share of the map inside the mask, in [0, 1].
        area: the mask's share of the image, in (0, 1).
    """
    return (inside / area) / ((1 - inside) / (1 - area)) if inside < 1 else math.inf


class MaskAttention:
    """Average :func:`attention_in_mask` over the positive, visible attributes of many images.

    Args:
        attend: host batch -> attention (N, M, h, w).
        read_masks: image path -> masks (M, H, W), true where the attribute is visible.
    """

    def __init__(self, attend: Callable[[dict[str, Any]], Tensor], read_masks: MaskReader) -> None:
        self.attend = attend
        self.read_masks = read_masks
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._inside: list[Tensor] = []
        self._area: list[Tensor] = []
        self._pointed: list[Tensor] = []

    @torch.no_grad()
    def update(self, inputs: dict[str, Any]) -> None:
        """Measure a batch; attributes that are absent, unknown or not visible are left out."""
        attention = self.attend(inputs).cpu()
        for maps, values, path in zip(
            attention, inputs["attributes"].cpu(), inputs["img_paths"], strict=True
        ):
            masks = torch.as_tensor(self.read_masks(path))
            shown = (values == 1) & masks.flatten(1).any(dim=1)
            inside, area = attention_in_mask(maps, masks)
            nan = torch.full_like(inside, float("nan"))
            self._inside.append(torch.where(shown, inside, nan))
            self._area.append(torch.where(shown, area, nan))
            self._pointed.append(torch.where(shown, points_into_mask(maps, masks).float(), nan))

    def gather(self) -> None:
        """Gather the results of all processes on the main one, in order; every process has to call this."""
        parts = comm.gather((self._inside, self._area, self._pointed), dst=0)
        self._inside, self._area, self._pointed = ([x for part in parts for x in part[i]] for i in range(3))

    def per_attribute(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return each attribute's mean share inside, mean area and number of images, (M,); NaN if never visible."""
        inside, area = torch.stack(self._inside), torch.stack(self._area)
        return inside.nanmean(dim=0), area.nanmean(dim=0), (~inside.isnan()).sum(dim=0)

    def compute(self) -> dict[str, float]:
        """Return ``attention_in_mask``, ``mask_area``, ``pointing_game`` (per cent), ``attention_density`` (in/out)."""
        inside = float(torch.stack(self._inside).nanmean())
        area = float(torch.stack(self._area).nanmean())
        return {
            "attention_in_mask": 100 * inside,
            "mask_area": 100 * area,
            "attention_density": density_of(inside, area),
            "pointing_game": 100 * float(torch.stack(self._pointed).nanmean()),
        }
