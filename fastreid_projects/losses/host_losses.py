"""The host's losses under their names in the registry.

In the host's architectures, the host's code computes them. The registry makes their names known, offers them to
architectures whose if-chain leaves them out (CircleLoss in MGN, FocalLoss everywhere), and to those of this project.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fastreid_projects.losses.cross_entropy import cross_entropy
from fastreid_projects.losses.distances import without_blank
from fastreid_projects.losses.registry import register_loss


class _PairLoss(nn.Module):
    """A loss of the host on features, computed in float32 regardless of autocast."""

    inputs = "features"
    config_node = ""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def compute(self, features: Tensor, labels: Tensor) -> Tensor:
        """Call the host's function."""
        raise NotImplementedError

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of features (N, D) with labels (N,), a scalar."""
        with torch.autocast(features.device.type, enabled=False):
            return self.compute(features.float(), labels)

    def extra_repr(self) -> str:
        """Show the options."""
        return ", ".join(f"{key}={value}" for key, value in self.options.items())


@register_loss
class CrossEntropyLoss(nn.Module):
    """Compute cross entropy with label smoothing; see :func:`.cross_entropy.cross_entropy`."""

    inputs = "logits"
    config_node = "CE"

    def __init__(self, eps: float = 0.0, alpha: float = 0.2) -> None:
        super().__init__()
        self.eps, self.alpha = eps, alpha

    @classmethod
    def from_config(cls, cfg: Any) -> CrossEntropyLoss:
        """Read ``MODEL.LOSSES.CE``."""
        return cls(cfg.MODEL.LOSSES.CE.EPSILON, cfg.MODEL.LOSSES.CE.ALPHA)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of logits (N, classes) with labels (N,)."""
        return cross_entropy(logits, labels, self.eps, self.alpha)


@register_loss
class TripletLoss(_PairLoss):
    """The host's ``triplet_loss``: batch-hard or weighted, with a soft margin if the margin is 0."""

    config_node = "TRI"

    @classmethod
    def from_config(cls, cfg: Any) -> TripletLoss:
        """Read ``MODEL.LOSSES.TRI``."""
        node = cfg.MODEL.LOSSES.TRI
        return cls(margin=node.MARGIN, norm_feat=node.NORM_FEAT, hard_mining=node.HARD_MINING)

    def compute(self, features: Tensor, labels: Tensor) -> Tensor:
        """Call the host's function."""
        from fastreid.modeling.losses import triplet_loss

        features = without_blank(features) if self.options["norm_feat"] else features
        return triplet_loss(features, labels, **self.options)


@register_loss
class CircleLoss(_PairLoss):
    """The host's ``pairwise_circleloss``."""

    config_node = "CIRCLE"

    @classmethod
    def from_config(cls, cfg: Any) -> CircleLoss:
        """Read ``MODEL.LOSSES.CIRCLE``."""
        return cls(margin=cfg.MODEL.LOSSES.CIRCLE.MARGIN, gamma=cfg.MODEL.LOSSES.CIRCLE.GAMMA)

    def compute(self, features: Tensor, labels: Tensor) -> Tensor:
        """Call the host's function."""
        from fastreid.modeling.losses import pairwise_circleloss

        return pairwise_circleloss(without_blank(features), labels, **self.options)


@register_loss
class Cosface(_PairLoss):
    """The host's ``pairwise_cosface``."""

    config_node = "COSFACE"

    @classmethod
    def from_config(cls, cfg: Any) -> Cosface:
        """Read ``MODEL.LOSSES.COSFACE``."""
        return cls(margin=cfg.MODEL.LOSSES.COSFACE.MARGIN, gamma=cfg.MODEL.LOSSES.COSFACE.GAMMA)

    def compute(self, features: Tensor, labels: Tensor) -> Tensor:
        """Call the host's function."""
        from fastreid.modeling.losses import pairwise_cosface

        return pairwise_cosface(without_blank(features), labels, **self.options)


@register_loss
class FocalLoss(nn.Module):
    """The host's ``focal_loss``, which no architecture of the host calls.

    The host computes log(softmax(x)), which is -inf for a confident logit; log_softmax gives the same and is finite.
    """

    inputs = "logits"
    config_node = "FL"

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0) -> None:
        super().__init__()
        self.alpha, self.gamma = alpha, gamma

    @classmethod
    def from_config(cls, cfg: Any) -> FocalLoss:
        """Read ``MODEL.LOSSES.FL``."""
        return cls(cfg.MODEL.LOSSES.FL.ALPHA, cfg.MODEL.LOSSES.FL.GAMMA)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean of -alpha (1 - p)^gamma log p over logits (N, classes) with labels (N,)."""
        log_p = logits.float().log_softmax(dim=1).gather(1, labels.view(-1, 1)).squeeze(1)
        missing = (-log_p.expm1()).clamp(min=1e-12)  # 1 - p; a power below 1 has an infinite slope at 0
        return (-self.alpha * missing.pow(self.gamma) * log_p).mean()
