"""K 1x1 convolutions, one for each body part, that run as one.

| letter | meaning                                     |
| ------ | ------------------------------------------- |
| N      | images                                      |
| K      | body parts                                  |
| B      | channels of the backbone's map F            |
| C      | channels of a part's feature, 512           |
| H x W  | size of F                                   |
| S      | positions of one part's piece of the map    |
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from fastreid.layers import get_norm
from torch import Tensor, nn
from torch.func import functional_call


class PartConv(nn.Module):
    """K 1x1 convolutions with their BatchNorm; part k owns channels k * C to (k + 1) * C of every tensor here.

    The state has the shape of a single convolution ``B -> K * C``: slices of ``weight``, ``bias`` and ``norm`` are
    those of the K separate layers.

    Args:
        parts: K.
        in_channels: the channels of a part's input.
        out_channels: C.
        norm: the host's name of the norm, e.g. ``"BN"``.
    """

    def __init__(self, parts: int, in_channels: int, out_channels: int, norm: str = "BN") -> None:
        super().__init__()
        self.parts, self.in_channels, self.out_channels = parts, in_channels, out_channels
        self.weight = nn.Parameter(torch.empty(parts * out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(parts * out_channels))
        self.norm = get_norm(norm, parts * out_channels)
        nn.init.kaiming_normal_(self.weight, mode="fan_in")

    def on_whole(self, maps: Tensor) -> Tensor:
        """Apply all K convolutions to the same map: (N, B, H, W) -> (N, K * C, H, W), before the norm."""
        return F.conv2d(maps, self.weight, self.bias)

    def on_parts(self, pieces: Tensor) -> Tensor:
        """Apply each convolution to its own piece: (N, K, B, S) -> (N, K * C, S, 1), before the norm."""
        n, k, b, s = pieces.shape
        columns = pieces.permute(1, 2, 0, 3).reshape(k, b, n * s)
        product = torch.bmm(self.weight.view(k, -1, b), columns)
        product = product.view(k, -1, n, s).permute(2, 0, 1, 3).reshape(n, -1, s, 1)
        return product + self.bias[:, None, None].to(product.dtype)

    def normalize(self, x: Tensor, *, track: bool = True) -> Tensor:
        """Apply BatchNorm with the statistics of the batch; without ``track`` the running ones do not change."""
        if track or not self.training:
            return self.norm(x)
        buffers = {name: buffer.clone() for name, buffer in self.norm.named_buffers()}
        return functional_call(self.norm, buffers, (x,))

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"{self.parts} x ({self.in_channels} -> {self.out_channels})"


def pool_relu(conv: PartConv, x: Tensor, *, track: bool = True) -> Tensor:
    """Apply BatchNorm, ReLU and global maximum to a map (N, K * C, H, W) -> (N, K, C).

    In evaluation the norm is a linear function of each channel, so that it can follow the maximum (or the minimum if it
    decreases): K * C numbers are normalised instead of K * C * H * W.
    """
    if conv.training or not isinstance(conv.norm, nn.BatchNorm2d):
        pooled = conv.normalize(x, track=track).relu().amax(dim=(2, 3))
    else:
        norm = conv.norm
        low, high = torch.aminmax(x.flatten(2), dim=2)
        extreme = torch.where(norm.weight > 0, high, low)
        pooled = norm(extreme[..., None, None])[..., 0, 0].relu()
    return pooled.view(x.shape[0], conv.parts, -1)


class ChannelAttention(nn.Module):
    """Fig. 6: squeeze-and-excitation of each part's vector, with a BatchNorm after each layer.

    Args:
        parts: K.
        channels: C.
        reduction: C -> C / reduction -> C.
        norm: the host's name of the norm.
    """

    def __init__(self, parts: int, channels: int, reduction: int = 16, norm: str = "BN") -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.squeeze = PartConv(parts, channels, hidden, norm)
        self.excite = PartConv(parts, hidden, channels, norm)

    def forward(self, vectors: Tensor, *, track: bool = True) -> Tensor:
        """Scale each channel of (N, K, C) by 0..1."""
        hidden = vector_layer(self.squeeze, vectors, track=track).relu()
        return vectors * vector_layer(self.excite, hidden, track=track).sigmoid()


def vector_layer(conv: PartConv, vectors: Tensor, *, track: bool = True) -> Tensor:
    """Apply the convolution and norm of each part to its vector: (N, K, C) -> (N, K, C')."""
    x = conv.normalize(conv.on_parts(vectors.unsqueeze(3)), track=track)
    return x.view(x.shape[0], conv.parts, -1)
