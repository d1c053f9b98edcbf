"""Cut maps into the K pieces for the auxiliary tasks; shapes as in ``regions`` and ``part_layers``."""

from __future__ import annotations

import torch
from torch import Tensor

from .part_layers import PartConv
from .regions import Regions, cut_matrix, even_regions, rows_after_resize


class Cutter:
    """Cut the piece of each part out of a map.

    Args:
        regions: the prior, or None for uniform stripes.
        parts: K.
        maps: F, from which size, type and device are taken.
    """

    def __init__(self, regions: Regions | None, parts: int, maps: Tensor) -> None:
        size = (maps.shape[2], maps.shape[3])
        self.parts = parts
        self.matrix: Tensor | None = None
        if regions is None and rows_after_resize(size[0], parts) != size[0]:
            regions = even_regions(len(maps), size, maps.device)
        if regions is not None:
            exact = torch.promote_types(maps.dtype, torch.float32)
            self.matrix = cut_matrix(regions, parts, exact).to(maps.dtype)

    def pieces(self, maps: Tensor) -> Tensor:
        """Return P_k of F (Fig. 5b): (N, B, H, W) -> (N, K, B, S)."""
        n, b, height, width = maps.shape
        if self.matrix is None:
            stripes = maps.view(n, b, self.parts, height // self.parts * width)
            return stripes.transpose(1, 2)
        matrix = self.matrix.transpose(1, 2).flatten(2)  # (N, H * W, K * S)
        return torch.bmm(maps.flatten(2), matrix).view(n, b, self.parts, -1).transpose(1, 2)

    def convolved_pieces(self, conv: PartConv, convolved: Tensor) -> Tensor:
        """Return conv_k(P_k), cut from all conv_k(F): (N, K * C, H, W) -> (N, K * C, S, 1), before the norm.

        If the cut keeps only a part of a position (because it is masked), it also keeps only that part of the bias. The
        rest is added afterwards, because the bias of the convolution reaches masked positions, too.
        """
        n, _, height, width = convolved.shape
        if self.matrix is None:
            stripes = convolved.view(n, self.parts, -1, self.parts, height // self.parts * width)
            return stripes.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2).reshape(n, convolved.shape[1], -1, 1)
        matrix = self.matrix.to(convolved.dtype)
        maps = convolved.view(n * self.parts, -1, height * width)
        pieces = torch.bmm(maps, matrix.flatten(0, 1)).view(n, self.parts, -1, matrix.shape[3])
        lost = 1 - matrix.sum(dim=2, keepdim=True)
        pieces = pieces + conv.bias.to(pieces.dtype).view(self.parts, -1, 1) * lost
        return pieces.reshape(n, convolved.shape[1], -1, 1)
