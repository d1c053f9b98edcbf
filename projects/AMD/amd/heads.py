"""Attribute decomposition head (ADH) and its activation PePU (sec. 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from fastreid.config import configurable
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from torch import Tensor, nn

# e^-80 times kappa is still a normal float32, and therefore positive.
_LOWEST = -80.0


def pepu(x: Tensor, kappa: float, tau: float = 0.5) -> Tensor:
    """Apply the positive exponential power unit (Eq. 2): kappa (x + 1)^tau for x > 0, kappa e^x for x <= 0.

    Each formula is evaluated on its own half of the axis only, so that value and gradient are finite everywhere; x is
    clamped to at least -80, which keeps the result strictly positive.

    Args:
        x: any shape, any floating type; computed in float32.
        kappa: growth factor, in (0, 1); the paper takes 1/M.
        tau: power, in (0, 1).

    Returns:
        float32 of x's shape, > 0, continuous at 0.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.float()
        power = (x.clamp(min=0) + 1).pow(tau)
        exponential = x.clamp(min=_LOWEST, max=0).exp()
        return kappa * torch.where(x > 0, power, exponential)


def shape_alone(attention: Tensor, kappa: float) -> Tensor:
    """Give every map the same mean over its positions, so that attributes and images differ only in where it is high.

    Ours, not the paper's: PePU is unbounded, so that an interpreter can tell attributes apart by a map's mean alone.

    Args:
        attention: A (N, M, H, W), > 0.
        kappa: the mean; with 1/M the distances d^k of constant maps add up to the target's.

    Returns:
        (N, M, H, W), > 0.
    """
    return kappa * attention / attention.mean(dim=(2, 3), keepdim=True)


def shared_positions(attention: Tensor, kappa: float) -> Tensor:
    """Divide every position among the attributes, so that the maps of an image add up to 1. Ours, not the paper's.

    Args:
        attention: A (N, M, H, W), > 0.
        kappa: not used, but passed to every form.

    Returns:
        (N, M, H, W), in (0, 1).
    """
    return attention / attention.sum(dim=1, keepdim=True)


def as_it_is(attention: Tensor, kappa: float) -> Tensor:
    """Return the paper's attention, which is PePU's output itself."""
    return attention


FORMS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "pepu": as_it_is,
    "shape": shape_alone,
    "shared": shared_positions,
}


@REID_HEADS_REGISTRY.register()
class AttributeDecompositionHead(nn.Module):
    """Compute the attention maps of M attributes: conv3x3 C -> C/8, conv1x1 C/8 -> M, PePU.

    Args:
        in_channels: C, channels of the interpreter's last stage.
        num_attributes: M.
        reduction: 8 in the paper.
        kappa: PePU's kappa; 0 means 1/M.
        tau: PePU's tau.
        bias: initial bias of the last convolution. Where the target's map is zero, no loss changes the attention, so
            that it keeps its initial value: a negative bias leaves the background dark.
        form: a key of :data:`FORMS`, which says how PePU's output becomes attention; "pepu" is the paper's.
    """

    architecture: ClassVar[str] = "AMD"  # only "shape" uses it

    @configurable
    def __init__(
        self,
        *,
        in_channels: int,
        num_attributes: int,
        reduction: int = 8,
        kappa: float = 0.0,
        tau: float = 0.5,
        bias: float = 0.0,
        form: str = "pepu",
    ) -> None:
        super().__init__()
        hidden = max(in_channels // reduction, 1)
        self.reduce = nn.Conv2d(in_channels, hidden, kernel_size=3, padding=1)
        self.decompose = nn.Conv2d(hidden, num_attributes, kernel_size=1)
        if self.decompose.bias is not None:
            nn.init.constant_(self.decompose.bias, bias)
        self.kappa = kappa or 1.0 / num_attributes
        self.tau = tau
        self.form = FORMS[form]

    @classmethod
    def from_config(cls, cfg: Any, in_channels: int, num_attributes: int) -> dict[str, Any]:
        """Read ``MODEL.AMD``."""
        node = cfg.MODEL.AMD
        return {
            "in_channels": in_channels,
            "num_attributes": num_attributes,
            "reduction": node.REDUCTION,
            "kappa": node.KAPPA,
            "tau": node.TAU,
            "bias": node.INIT_BIAS,
            "form": node.ATTENTION,
        }

    def forward(self, features: Tensor) -> Tensor:
        """Return attention A (N, M, H, W), float32 and strictly positive, of features (N, C, H, W)."""
        return self.form(pepu(self._convolve(features), self.kappa, self.tau), self.kappa)

    def _convolve(self, features: Tensor) -> Tensor:
        """Apply both convolutions as a single one C -> M, as there is nothing but biases between them.

        On a ResNet-50 this takes a tenth of the operations: 26 output channels instead of 256. The weights and
        gradients are still those of the two convolutions.
        """
        second = self.decompose.weight.flatten(1)
        weight = torch.einsum("mh,hcij->mcij", second, self.reduce.weight)
        bias = self.decompose(self.reduce.bias.view(1, -1, 1, 1)).flatten()  # type: ignore[union-attr]
        return F.conv2d(features, weight, bias, padding=self.reduce.padding)
