"""Attention-based pooling (sec. 3.2) and the global-context pooling with which it is compared.

| letter | meaning               |
| ------ | --------------------- |
| N      | images                |
| C      | channels              |
| H x W  | size of a feature map |
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from fastreid.layers.context_block import ContextBlock
from torch import Tensor, nn

from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.pooling import ChannelPooling, register_pooling

# The bottleneck ratio of a global-context block, r = 16 (Cao et al. 2019, table 2 a).
CONTEXT_RATIO = 1 / 16


def attention_pool(features: Tensor, w_u: Tensor, w_v: Tensor, softmax: bool = False) -> Tensor:
    """Return I = (X W_v)^T (X W_u) of eq. 3 with X as HW x C, computed as W_v^T (X^T (X W_u)).

    This order takes HW C + C^2 multiplications instead of HW C^2. It is computed in float32 under autocast, as the sum
    over the positions of squares of features overflows float16.

    Args:
        features: (N, C, H, W).
        w_u: (C, 1).
        w_v: (C, C).
        softmax: whether to normalise X W_u over the positions, as a global-context block does; not in eq. 3.

    Returns:
        (N, C), in the type of the weights.
    """
    with torch.autocast(features.device.type, enabled=False):
        features = features.to(w_v.dtype)
        positions = features.flatten(2)  # X^T, (N, C, HW)
        # (X W_u)^T, (N, 1, HW), as a 1x1 convolution: a broadcast product would copy the map.
        weights = F.conv2d(features, w_u.T[:, :, None, None]).flatten(2)
        if softmax:
            weights = weights.softmax(dim=2)
        return (weights @ positions.transpose(1, 2)).squeeze(1) @ w_v


def attention_pool_plain(features: Tensor, w_u: Tensor, w_v: Tensor) -> Tensor:
    """Return eq. 3 in its own order, with HW C^2 multiplications; the reference for :func:`attention_pool`."""
    positions = features.flatten(2).transpose(1, 2)
    return ((positions @ w_v).transpose(1, 2) @ (positions @ w_u)).squeeze(2)


@register_pooling
class AttentionPooling(ChannelPooling):
    """Attention-based pooling, the interaction feature I of eq. 3, for any head of the host."""

    softmax = False

    def build(self, channels: int) -> None:
        """Create W_u (C, 1) and W_v (C, C), initialised like those of a linear layer without bias."""
        bound = channels**-0.5
        self.w_u = nn.Parameter(torch.empty(channels, 1).uniform_(-bound, bound))
        self.w_v = nn.Parameter(torch.empty(channels, channels).uniform_(-bound, bound))

    def forward(self, features: Tensor) -> Tensor:
        """Pool (N, C, H, W) to (N, C, 1, 1)."""
        channels = len(self.w_u)
        if features.shape[1] != channels:
            raise ConfigError(
                f"{type(self).__name__} was made for {channels} channels, but the feature map has "
                f"{features.shape[1]}; set MODEL.BACKBONE.FEAT_DIM to {features.shape[1]}"
            )
        return attention_pool(features, self.w_u, self.w_v, self.softmax)[..., None, None]

    def extra_repr(self) -> str:
        """Show the channels."""
        return f"channels={len(self.w_u)}, softmax={self.softmax}"


@register_pooling
class SoftmaxAttentionPooling(AttentionPooling):
    """Attention-based pooling in which a softmax over the positions normalises X W_u."""

    softmax = True


@register_pooling
class ContextMaxPool(ChannelPooling):
    """A global-context block (Cao et al. 2019) followed by global max pooling: "GC" of table 3, fig. 3 (c)."""

    def build(self, channels: int) -> None:
        """Create the block, which starts as the identity."""
        self.context = context_block(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Pool (N, C, H, W) to (N, C, 1, 1)."""
        return F.adaptive_max_pool2d(self.context(features.contiguous()), 1)


def context_block(channels: int) -> ContextBlock:
    """Return the host's global-context block with softmax attention, r = 16 and addition."""
    return ContextBlock(channels, max(CONTEXT_RATIO, 1 / channels))
