"""MPN in its plain form, with one layer for each part and task on separate maps; for tests and benchmarks.

Shapes as in ``part_layers`` and ``regions``.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .heads import MPNHead, PartFeatures
from .part_layers import PartConv
from .regions import Regions, even_regions, rows_after_resize


class PlainPart(nn.Module):
    """One task of one part: conv1, BN, ReLU, maximum, attention, conv2, BN, ReLU.

    Args:
        head: the head whose layers are copied.
        part: k.
        auxiliary: whether to use the auxiliary task's own layers if there are any.
    """

    def __init__(self, head: MPNHead, part: int, auxiliary: bool = False) -> None:
        super().__init__()
        own = head.auxiliary if auxiliary else nn.ModuleDict()

        def layer(name: str) -> Any:
            return own[name] if name in own else getattr(head, name)

        self.conv1 = _one_part(layer("conv1"), part)
        self.attention = None
        if head.attention is not None:
            attention = layer("attention")
            self.attention = nn.Sequential(
                _one_part(attention.squeeze, part), nn.ReLU(), _one_part(attention.excite, part), nn.Sigmoid()
            )
        self.conv2 = _one_part(layer("conv2"), part)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (N, B, H, W) to (N, C)."""
        x = self.conv1(maps).relu().amax(dim=(2, 3), keepdim=True)
        if self.attention is not None:
            x = x * self.attention(x)
        return self.conv2(x).relu().flatten(1)


def _one_part(conv: PartConv, part: int) -> nn.Sequential:
    rows = slice(part * conv.out_channels, (part + 1) * conv.out_channels)
    plain = nn.Conv2d(conv.in_channels, conv.out_channels, 1)
    norm = nn.BatchNorm2d(conv.out_channels)
    with torch.no_grad():
        plain.weight.copy_(conv.weight[rows])
        plain.bias.copy_(conv.bias[rows])  # type: ignore[union-attr]
        for name, value in norm.state_dict().items():
            source = conv.norm.state_dict()[name]
            value.copy_(source[rows] if source.dim() else source)
    return nn.Sequential(plain, norm).to(conv.weight.device, conv.weight.dtype)


class PlainMPNHead(nn.Module):
    """K main and K auxiliary tasks as separate layers, with the weights of a head.

    Args:
        head: an :class:`MPNHead` with both tasks.
    """

    def __init__(self, head: MPNHead) -> None:
        super().__init__()
        self.main = nn.ModuleList(PlainPart(head, k) for k in range(head.parts))
        self.auxiliary = nn.ModuleList(PlainPart(head, k, auxiliary=True) for k in range(head.parts))
        for name in ("conv1", "conv2", "attention"):
            if name not in head.auxiliary:
                for main, auxiliary in zip(self.main, self.auxiliary, strict=True):
                    _share_parameters(getattr(main, name), getattr(auxiliary, name))

    def forward(self, maps: Tensor, regions: Regions | None = None) -> PartFeatures | Tensor:
        """Do the same as ``MPNHead.forward``."""
        main = torch.stack([part(maps) for part in self.main], dim=1)
        if not self.training:
            return main.flatten(1)
        pieces = plain_pieces(maps, regions, len(self.main))
        auxiliary = [part(piece) for part, piece in zip(self.auxiliary, pieces, strict=True)]
        return PartFeatures(main, torch.stack(auxiliary, dim=1))


def _share_parameters(main: nn.Module | None, auxiliary: nn.Module | None) -> None:
    """Let the auxiliary layers use the parameters of the main ones; each task keeps its own BN statistics."""
    if main is None or auxiliary is None:
        return
    for a, b in zip(main.modules(), auxiliary.modules(), strict=True):
        for name, parameter in a.named_parameters(recurse=False):
            setattr(b, name, parameter)


def plain_pieces(maps: Tensor, regions: Regions | None, parts: int) -> list[Tensor]:
    """Return P_k (Fig. 5b): multiply by M, resize the rows between the boundaries, divide evenly; image by image.

    Returns:
        K maps (N, B, R / K, W).
    """
    n, _, height, width = maps.shape
    regions = regions or even_regions(n, (height, width), maps.device)
    masked = maps * regions.mask[:, None].to(maps.dtype)
    rows = rows_after_resize(height, parts)
    resized = [
        F.interpolate(image[None, :, top:bottom], size=(rows, width), mode="bilinear", align_corners=False)
        for image, top, bottom in zip(masked, regions.top.tolist(), regions.bottom.tolist(), strict=True)
    ]
    return list(torch.cat(resized).chunk(parts, dim=2))
