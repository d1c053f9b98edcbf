"""Give the host's ResNets the stem of torchvision, with which their ImageNet weights were trained."""

from __future__ import annotations

from torch import nn


def pad_stem(model: nn.Module) -> nn.Module:
    """Pool after the first convolution with padding 1, as torchvision and the papers' networks do, in place.

    The host pools without padding and rounds the size up (resnet.py:136): for even sides, the map has the same size,
    but its windows are shifted by a pixel down and to the right. Other models are not changed.

    Args:
        model: a backbone, or an architecture with one.

    Returns:
        The same model.
    """
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.MaxPool2d) and child.ceil_mode and child.padding == 0:
                setattr(parent, name, nn.MaxPool2d(child.kernel_size, child.stride, padding=1))
    return model
