"""Keep the resolution of stages: strides of 2 become 1, without dilation (``LAST_STRIDE 1``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch.nn.functional as F
from torch import Tensor, nn

_POOLS = (nn.AvgPool2d, nn.MaxPool2d)


class PaddedConv2d(nn.Conv2d):
    """A convolution with an even kernel that keeps the size of its map by padding below and on the right."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve the padded map: (N, C, h, w) -> (N, C', h, w)."""
        height, width = (kernel - 1 for kernel in self.kernel_size)
        return super().forward(F.pad(x, (0, width, 0, height)))


def unstride(model: nn.Module, before: str) -> None:
    """Remove the strides of all modules after a module, in place.

    Args:
        model: the model, whose modules are in the order of their calls.
        before: dotted name of the last module that keeps its stride.
    """
    keep_resolution(_behind(model, before))


def keep_resolution(modules: Iterable[nn.Module]) -> None:
    """Remove the strides of convolutions and poolings, in place, without changing weights.

    A convolution with an odd kernel keeps its padding; one with an even kernel, as in ConvNeXt, is padded by a row
    below and a column on the right. The pooling of a shortcut, as in ResNet-D, is removed, as timm does without stride.

    Args:
        modules: the convolutions, and the modules that contain poolings.
    """
    for parent in list(modules):
        for name, child in parent.named_children():
            if isinstance(child, _POOLS) and _is_two(child.stride):
                setattr(parent, name, nn.Identity())
        if isinstance(parent, nn.Conv2d) and _is_two(parent.stride):
            parent.stride = (1, 1)
            if type(parent) is nn.Conv2d and parent.kernel_size[0] % 2 == 0:
                parent.__class__ = PaddedConv2d


def _behind(model: nn.Module, before: str) -> Iterator[nn.Module]:
    reached = False
    for name, module in model.named_modules():
        inside = name == before or name.startswith(f"{before}.")
        if reached and not inside:
            yield module
        reached = reached or inside


def _is_two(stride: int | tuple[int, ...] | None) -> bool:
    return stride in (2, (2, 2))
