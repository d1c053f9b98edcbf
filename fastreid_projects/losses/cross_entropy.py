"""Cross entropy with label smoothing (Szegedy et al. 2016, sec. 7), as BoT (Luo et al. 2019, eq. 1) uses it.

| letter | meaning |
| ------ | ------- |
| N      | images  |
| C      | classes |

FastReID spreads the smoothing over the C - 1 other classes (losses/cross_entroy_loss.py:42), so that its epsilon is
C / (C - 1) times that of the papers. This module needs only torch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor, eps: float = 0.0, alpha: float = 0.2) -> Tensor:
    """Return the mean of -sum_c q_c log p_c, where q_c = (1 - eps) [c = y] + eps / C.

    Args:
        logits: (N, C), of any floating-point type.
        labels: (N,), 0..C-1.
        eps: below 1; a negative value makes it adaptive, ``alpha`` times the probability of the label.
        alpha: the factor of adaptive smoothing.

    Returns:
        A scalar in float32 (float64 for float64 logits).
    """
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    if eps >= 0:
        return F.cross_entropy(logits, labels, label_smoothing=eps)
    log_probabilities = logits.log_softmax(dim=1)
    own = log_probabilities.gather(1, labels.view(-1, 1)).squeeze(1)
    smoothing = alpha * own.detach().exp()
    return -((1 - smoothing) * own + smoothing * log_probabilities.mean(dim=1)).mean()
