"""Where the body parts are (Sec. 3.2), and how a map is cut into them (Fig. 5b).

| letter | meaning                                             |
| ------ | --------------------------------------------------- |
| N      | images                                              |
| K      | body parts                                          |
| h x w  | size of the images                                  |
| H x W  | size of the backbone's map                          |
| R      | rows after the resize: H, or the next multiple of K |
| S      | positions of one part's piece, R / K * W            |
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .data.part_masks import HEAD, LEG

# The smallest share of the image that counts as a head or a leg: 16 pixels of 128 x 64.
PRESENT = 0.002
# The smallest share of a row of the image that counts as body: 4 pixels of 128.
ROW_PRESENT = 1 / 32


class Regions(NamedTuple):
    """The coarse prior of a batch, on the map.

    Attributes:
        mask: M, (N, H, W) of 0 or 1; all ones if the image is divided evenly.
        top: the first row of the body, (N,) integers of 0..H-1.
        bottom: the row after its last one, (N,).
        found: whether head and leg were found, (N,) bool.
    """

    mask: Tensor
    top: Tensor
    bottom: Tensor
    found: Tensor


def find_regions(visible: Tensor, whole: Tensor, size: tuple[int, int], parts: int = 1) -> Regions:
    """Compute Fig. 5a from the masks of body parts: resize, binarise, dilate 1x2, find upper and lower boundary.

    The boundaries are found on the original masks, because a cell of a small map is larger than a head. If there is no
    head or no leg, or if the body has fewer rows of the map than there are parts, the whole image is the region and
    nothing is masked.

    Args:
        visible: (N, h, w) uint8 values of body parts, 0 where the image was erased.
        whole: the same before erasing: an erased head is still known and therefore bounds the body.
        size: (H, W).
        parts: K.

    Returns:
        The regions; ``top < bottom`` for every image.
    """
    top, bottom = _boundaries(whole, size[0])
    found = has_head_and_leg(whole) & (bottom - top >= parts)
    top, bottom = torch.where(found, top, 0), torch.where(found, bottom, size[0])
    return Regions((_to_map(visible, size) | ~found[:, None, None]).float(), top, bottom, found)


def _boundaries(whole: Tensor, height: int) -> tuple[Tensor, Tensor]:
    """Return the first row of a map of H rows with body in a quarter of its height, and the row after the last one."""
    pixels = whole.shape[1]
    body = (whole > 0).sum(2) >= ROW_PRESENT * whole.shape[2]
    order = torch.arange(pixels, device=whole.device)
    first = torch.where(body, order, pixels).amin(1)
    last = torch.where(body, order + 1, 0).amax(1)
    return (4 * first * height + pixels) // (4 * pixels), -((pixels - 4 * last * height) // (4 * pixels))


def has_head_and_leg(parts: Tensor) -> Tensor:
    """Return whether images have a head and at least one leg (Sec. 3.2): (N, h, w) body parts -> (N,) bool."""
    return has_part(parts, HEAD) & has_part(parts, LEG)


def has_part(parts: Tensor, part: int) -> Tensor:
    """Return whether enough pixels show a body part: (N, h, w) body parts -> (N,) bool."""
    return (parts == part).flatten(1).sum(1) >= PRESENT * parts.shape[1] * parts.shape[2]


def _to_map(parts: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the foreground at the size of the map: cells that are at least half body, widened one cell to the right.

    If a row has some body but no such cell, the fullest one counts: a head is narrower than the cells of a small map.
    """
    share = F.adaptive_avg_pool2d((parts > 0).float(), size)
    fullest = share.amax(2, keepdim=True)
    cells = (share >= 0.5) | ((share == fullest) & (fullest >= ROW_PRESENT / 4))
    return cells | F.pad(cells[:, :, :-1], (1, 0))


def even_regions(n: int, size: tuple[int, int], device: torch.device) -> Regions:
    """Return the whole image for each of N images."""
    top = torch.zeros(n, dtype=torch.long, device=device)
    mask = torch.ones(n, *size, device=device)
    return Regions(mask, top, top + size[0], torch.zeros(n, dtype=torch.bool, device=device))


def resize_rows(top: Tensor, bottom: Tensor, height: int, rows: int, dtype: torch.dtype) -> Tensor:
    """Return the bilinear resize of rows ``top`` to ``bottom`` among H to R rows as a matrix, (N, R, H).

    The weights are those of ``interpolate(mode="bilinear", align_corners=False)`` on the rows that were cut out.
    """
    first, last = top[:, None].to(dtype), bottom[:, None].to(dtype) - 1
    steps = torch.arange(rows, device=top.device, dtype=dtype) + 0.5
    source = first + steps * (last + 1 - first) / rows - 0.5
    source = torch.minimum(torch.maximum(source, first), last)
    distance = source[:, :, None] - torch.arange(height, device=top.device)
    return (1 - distance.abs()).clamp(min=0)


def rows_after_resize(height: int, parts: int) -> int:
    """Return R: H if K divides it, as in the paper, otherwise the next multiple of K."""
    return -(-height // parts) * parts


def cut_matrix(regions: Regions, parts: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return mask, resize and division into K pieces as one matrix, (N, K, H * W, S): piece_k = map @ matrix_k.

    All three act only on positions, so that they commute with a 1x1 convolution.
    """
    n, height, width = regions.mask.shape
    rows = rows_after_resize(height, parts)
    resize = resize_rows(regions.top, regions.bottom, height, rows, dtype).view(n, parts, -1, height)
    eye = torch.eye(width, device=resize.device, dtype=dtype)
    matrix = torch.einsum("nkir,nrc,cd->nkrcid", resize, regions.mask.to(dtype), eye)
    return matrix.reshape(n, parts, height * width, -1)
