"""Metric distillation and attribute prior losses of AMD.

| letter | meaning                                                    |
| ------ | ---------------------------------------------------------- |
| N      | images of the batch                                        |
| M      | attributes                                                 |
| M_K    | attributes known for both images of a pair, 0 to M         |
| M_E    | those of them on which the two images differ               |

All losses are means over the N (N - 1) ordered pairs i != j. A pair with identical or opposite attribute vectors
(M_E = 0 or M_E = M_K) has no bound in Eq. 8-9 and adds nothing to L_p2. An attribute that is unknown for one image of
a pair (the paper has none) is neither exclusive nor common: both prior losses treat the pair as if it had only its
M_K known attributes, and a pair with M_K = 0 adds nothing to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fastreid_projects.losses.distances import wide
from fastreid_projects.losses.registry import register_loss


@dataclass(frozen=True)
class PairDistances:
    """Distances of all pairs of a batch, and their attributes.

    Attributes:
        target: d (N, N), Euclidean distances of the target's features.
        attribute: d^k (N, N, M), distances of the attribute-guided features, >= 0.
        exclusive: (N, N, M) bool, True where the pair is known to differ on attribute k (Eq. 5).
        known: (N, N, M) bool, True where attribute k is known for both images; it is common where it is known and not
            exclusive.
        prior: d^k (N, N, M) for the attribute prior if it is not ``attribute``: with ``MODEL.AMD.PRIOR_BY_PLACE``,
            that of maps with equal means.
    """

    target: Tensor
    attribute: Tensor
    exclusive: Tensor
    known: Tensor
    prior: Tensor | None = None


def exclusive_attributes(attributes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pairwise exclusive or of attribute vectors (Eq. 5), where both values are known.

    Args:
        attributes: (N, M), 0 or 1, or -1 (unknown).

    Returns:
        exclusive (N, N, M) bool and known (N, N, M) bool; an unknown attribute is not exclusive.
    """
    there = attributes >= 0
    known = there.unsqueeze(1) & there.unsqueeze(0)
    return known & (attributes.unsqueeze(1) != attributes.unsqueeze(0)), known


def distillation_loss(target: Tensor, attribute: Tensor) -> Tensor:
    """Return L_d = mean |d - sum_k d^k| over the ordered pairs i != j (Eq. 3-4).

    Args:
        target: d (N, N).
        attribute: d^k (N, N, M).

    Returns:
        A scalar; 0, still part of the graph, for a batch of one image.
    """
    return _mean_over_pairs((wide(target) - wide(attribute).sum(dim=2)).abs())


def attribute_prior_losses(
    attribute: Tensor, exclusive: Tensor, known: Tensor, nu: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Return L_p1 (Eq. 6-7) and L_p2 (Eq. 8-10).

    Let K be the M_K known attributes of a pair, s^k = d^k / (sum over K of d^k) their shares, and
    r = (M_E / M_K)^nu. L_p1 penalises exclusive attributes whose shares add up to less than r, and common ones whose
    shares add up to more than 1 - r. L_p2 penalises each exclusive attribute with a share below
    b = sqrt(r (1 - r) / (M_E (M_K - M_E))), and each common one with a share above b, where both bounds of Eq. 8 meet.
    If all attributes are known, these are the paper's losses: M_K = M, and the sum over K is d_hat. For an unknown
    attribute, only L_d acts on d^k.

    Args:
        attribute: d^k (N, N, M), >= 0.
        exclusive: (N, N, M) bool, a subset of ``known``.
        known: (N, N, M) bool.
        nu: the exponent v of Eq. 6, in (0, 1].

    Returns:
        Two scalars, finite for every labelling and for pairs at distance 0.
    """
    attribute = wide(attribute) * known
    total = attribute.sum(dim=2, keepdim=True)
    # A pair at distance 0 has no shares; dividing by 1 makes them 0 and keeps their gradient small.
    shares = attribute / torch.where(total > 1e-12, total, torch.ones_like(total))
    m_k, m_e = known.sum(dim=2), exclusive.sum(dim=2)
    ratio = (m_e.to(shares.dtype) / m_k.clamp(min=1)).pow(nu)
    total_exclusive = (shares * exclusive).sum(dim=2)
    total_common = (shares * ~exclusive).sum(dim=2)
    first = (ratio - total_exclusive).relu() + (total_common - (1 - ratio)).relu()

    bounded = (m_e > 0) & (m_e < m_k)
    bound = (ratio * (1 - ratio) / (m_e * (m_k - m_e)).clamp(min=1)).sqrt().unsqueeze(2)
    violation = torch.where(exclusive, bound - shares, shares - bound).relu()
    second = violation.sum(dim=2) * bounded
    return _mean_over_pairs(first), _mean_over_pairs(second)


def _mean_over_pairs(values: Tensor) -> Tensor:
    """Return the mean of (N, N) values without the diagonal."""
    n = len(values)
    off_diagonal = ~torch.eye(n, dtype=torch.bool, device=values.device)
    return (values * off_diagonal).sum() / max(n * (n - 1), 1)


@register_loss
class MetricDistillationLoss(nn.Module):
    """L_d of Eq. 4; weight 1 in Eq. 11."""

    inputs = "attribute distances"
    config_node = ""

    @classmethod
    def from_config(cls, cfg: Any) -> MetricDistillationLoss:
        """Build the loss, which has no options."""
        return cls()

    def forward(self, pairs: PairDistances, labels: Tensor | None = None) -> Tensor:
        """Return the loss of a batch's pairs, a scalar; identities are not used."""
        return distillation_loss(pairs.target, pairs.attribute)


@register_loss
class AttributePriorLoss(nn.Module):
    """alpha L_p1 + beta L_p2 of Eq. 11."""

    inputs = "attribute distances"
    config_node = ""

    def __init__(self, alpha: float = 10.0, beta: float = 50.0, nu: float = 0.5) -> None:
        super().__init__()
        self.alpha, self.beta, self.nu = alpha, beta, nu

    @classmethod
    def from_config(cls, cfg: Any) -> AttributePriorLoss:
        """Read ``MODEL.AMD.ALPHA``, ``BETA`` and ``NU``."""
        return cls(cfg.MODEL.AMD.ALPHA, cfg.MODEL.AMD.BETA, cfg.MODEL.AMD.NU)

    def forward(self, pairs: PairDistances, labels: Tensor | None = None) -> Tensor:
        """Return the loss of a batch's pairs, a scalar; identities are not used."""
        attribute = pairs.attribute if pairs.prior is None else pairs.prior
        first, second = attribute_prior_losses(attribute, pairs.exclusive, pairs.known, self.nu)
        return self.alpha * first + self.beta * second

    def extra_repr(self) -> str:
        """Show the options."""
        return f"alpha={self.alpha}, beta={self.beta}, nu={self.nu}"
