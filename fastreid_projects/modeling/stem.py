"""The stem of the host's ResNets beside torchvision's, with which their ImageNet weights were trained."""

from __future__ import annotations

from torch import nn


def pad_stem(model: nn.Module) -> nn.Module:
    """Pool after the first convolution with padding 1, as torchvision and the papers' networks do; in place.

    The host pools without padding and rounds the size up (resnet.py:136), which gives a map of the same size for even
    sides, but of windows that lie a pixel further down and right. Other models stay as they are.

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
