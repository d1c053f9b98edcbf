"""Spatial relation-aware global attention (RGA-S) in the backbone: MPN* (Zhang et al., CVPR 2020; Sec. 5.4.1).

| letter | meaning                                  |
| ------ | ---------------------------------------- |
| N      | images                                   |
| C      | channels of a stage's map                |
| P      | positions of this map, H * W             |
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from fastreid_projects.errors import ConfigError

RATIO = 8  # of channels, of positions and within the last mapping; all three are 8 in RGA


class SpatialRelationAttention(nn.Module):
    """Weigh each position by its relations r_ij = theta_i . phi_j with all positions.

    RGA stacks the P x P relations in both directions as 2 P channels and maps these to P / 8. Mapping a product equals
    multiplying with a mapped factor: with weights U and V for the two directions, it is (U phi^T) theta +
    (V theta^T) phi, so that no P x P matrix is built.

    Args:
        channels: C.
        positions: P.
    """

    def __init__(self, channels: int, positions: int) -> None:
        super().__init__()
        hidden, related = max(channels // RATIO, 1), max(positions // RATIO, 1)
        mapped = 1 + related
        self.positions = positions
        self.gx = _conv(channels, hidden)
        self.theta = _conv(channels, hidden)
        self.phi = _conv(channels, hidden)
        self.relation = nn.Parameter(torch.empty(related, 2 * positions))
        self.relation_norm = nn.Sequential(nn.BatchNorm1d(related), nn.ReLU())
        self.weigh = nn.Sequential(
            _conv(mapped, max(mapped // RATIO, 1)),
            nn.Conv2d(max(mapped // RATIO, 1), 1, 1, bias=False),
            nn.BatchNorm2d(1),
        )
        nn.init.normal_(self.relation, std=(2.0 / related) ** 0.5)

    def relations(self, x: Tensor) -> Tensor:
        """Return the mapped relations of each position, (N, P / 8, P), before the norm, of (N, C, H, W)."""
        theta, phi = self.theta(x).flatten(2), self.phi(x).flatten(2)
        to, of = self.relation[:, : self.positions], self.relation[:, self.positions :]
        return (to @ phi.transpose(1, 2)) @ theta + (of @ theta.transpose(1, 2)) @ phi

    def forward(self, x: Tensor) -> Tensor:
        """Scale each position of (N, C, H, W) by 0..1.

        Raises:
            ConfigError: the map has a number of positions other than the layer was built for.
        """
        n, _, height, width = x.shape
        if height * width != self.positions:
            raise ConfigError(
                f"RGA-S was built for maps of {self.positions} positions but got {height} x {width}: with "
                "MODEL.MPN.RGA, INPUT.SIZE_TRAIN and INPUT.SIZE_TEST have to be the size of all images"
            )
        related = self.relation_norm(self.relations(x)).view(n, -1, height, width)
        joint = torch.cat([self.gx(x).mean(dim=1, keepdim=True), related.to(x.dtype)], dim=1)
        return x * self.weigh(joint).sigmoid()


def add_spatial_attention(backbone: nn.Module, size: list[int]) -> tuple[str, ...]:
    """Add RGA-S after the last block of each of a ResNet's four stages.

    Args:
        backbone: a ResNet of the host, or a relative with ``layer1`` to ``layer4``.
        size: height and width of the images.

    Returns:
        The names of the added layers within the backbone.

    Raises:
        ConfigError: the backbone does not have these stages, or the size is not two positive numbers.
    """
    if len(size) != 2 or min(size) <= 0:
        raise ConfigError(
            f"INPUT.SIZE_TEST is {list(size)}, but the layers of MODEL.MPN.RGA are made for one size: write "
            "INPUT.SIZE_TRAIN and INPUT.SIZE_TEST as [height, width] in pixels, e.g. [384, 128]"
        )
    names = [f"layer{i}" for i in range(1, 5)]
    if not all(isinstance(getattr(backbone, name, None), nn.Sequential) for name in names):
        raise ConfigError(
            f"MODEL.MPN.RGA needs a backbone with the stages layer1 to layer4; {type(backbone).__name__} lacks them"
        )
    device = next(backbone.parameters()).device
    shapes = _stage_shapes(backbone, names, size)
    added = []
    for name, (channels, positions) in zip(names, shapes, strict=True):
        added.append(f"{name}.{len(getattr(backbone, name))}.")
        with torch.device(device):
            getattr(backbone, name).append(SpatialRelationAttention(channels, positions))
    return tuple(added)


def _stage_shapes(backbone: nn.Module, names: list[str], size: list[int]) -> list[tuple[int, int]]:
    """Return (C, P) of each stage's map, found with an image on the meta device."""
    shapes: list[tuple[int, int]] = []
    asked = copy.deepcopy(backbone).to("meta").eval()
    for name in names:
        getattr(asked, name)[-1].register_forward_hook(  # the host calls blocks, not stages
            lambda module, inputs, output: shapes.append((output.shape[1], output.shape[2] * output.shape[3]))
        )
    asked(torch.zeros(1, 3, size[0], size[1], device="meta"))
    return shapes


def _conv(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
