"""Grad-CAM of layers whose output is tokens: a vision transformer's class token and patches.

| letter | meaning                                                |
| ------ | ------------------------------------------------------ |
| N      | images                                                 |
| T      | tokens: those that are not patches, then h x w patches |
| C      | size of a token                                        |
| h, w   | number of patches along an image's height and width    |
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fastreid_projects.contract import OrdersChannels
from fastreid_projects.errors import ConfigError

# Numbers of tokens before the patches: a class token, none, also a distillation token, or also four registers.
_EXTRA = (1, 0, 2, 5)


def token_layer(backbone: nn.Module) -> nn.Module | None:
    """Return the last layer of a transformer in which patches contribute to the feature; None for other models.

    After the last block's attention, only the class token reaches the feature.
    """
    blocks = getattr(backbone, "blocks", None)
    if not isinstance(blocks, (nn.ModuleList, nn.Sequential)) or not len(blocks):
        return None
    norm = getattr(blocks[-1], "norm1", None)
    return norm if isinstance(norm, nn.Module) else None


def orders_channels_last(model: nn.Module, layer: nn.Module) -> bool:
    """Return whether a layer in the model's backbone returns maps (N, h, w, C), as in Swin."""
    backbone = dict(model.named_children()).get("backbone")
    if not isinstance(backbone, OrdersChannels) or not backbone.channels_last:
        return False
    return any(layer is inside for inside in list(backbone.modules())[1:])


def token_gradcam(
    scores: Callable[[Tensor], Tensor], layer: nn.Module, images: Tensor, grid: tuple[int, int]
) -> Tensor:
    """Compute Grad-CAM on the patches of a layer: channels weighted by their mean gradient, without negative values.

    Args:
        scores: images (N, 3, H, W) -> (N,).
        layer: a layer that returns tokens (N, T, C), or a map with its channels last (N, h, w, C).
        images: (N, 3, H, W).
        grid: h, w.

    Returns:
        (N, 1, h, w), at least 0.

    Raises:
        ConfigError: the layer is not called, or the score does not depend on its patches.
    """
    outputs: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        score = scores(images).sum()
    finally:
        handle.remove()
    (gradient,) = torch.autograd.grad(score, outputs[0], allow_unused=True)
    tokens, patches = outputs[0].flatten(1, -2), grid[0] * grid[1]
    gradient = None if gradient is None else gradient.flatten(1, -2)
    if gradient is None or not gradient[:, -patches:].any():
        raise ConfigError("the feature does not depend on the patches of this layer; name an earlier one")
    weights = gradient[:, -patches:].mean(dim=1, keepdim=True)
    maps = (weights * tokens[:, -patches:]).sum(dim=2).relu()
    return maps.detach().reshape(len(images), 1, *grid)


def patch_grid(model: nn.Module, tokens: int, size: tuple[int, int]) -> tuple[int, int]:
    """Return the number of patches along height and width.

    Args:
        model: the model; its patch embedding's numbers are used if it has them (``num_y`` and ``num_x``, or timm's
            ``grid_size``).
        tokens: T.
        size: height and width of the images, whose proportions the grid has if there is no patch embedding.

    Raises:
        ConfigError: no grid has so many patches.
    """
    for module in model.modules():
        own = getattr(module, "grid_size", None) or (getattr(module, "num_y", 0), getattr(module, "num_x", 0))
        if isinstance(own, tuple) and len(own) == 2 and 0 < own[0] * own[1] <= tokens:
            return int(own[0]), int(own[1])
    for extra in _EXTRA:
        height = round(math.sqrt(max(tokens - extra, 0) * size[0] / size[1]))
        if (
            height
            and (tokens - extra) % height == 0
            and height * size[1] == (tokens - extra) // height * size[0]
        ):
            return height, (tokens - extra) // height
    raise ConfigError(f"{tokens} tokens do not form a grid of patches of an image of {size[0]} x {size[1]}")
