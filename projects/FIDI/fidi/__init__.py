"""FIDI: fine-grained difference-aware pairwise loss (Yan et al., IEEE Transactions on Multimedia 2022).

The names in this module need only torch.
"""

from .contrastive import BatchHardContrastiveLoss, batch_hard_contrastive_loss
from .losses import FIDILoss, fidi_loss

__all__ = ["BatchHardContrastiveLoss", "FIDILoss", "batch_hard_contrastive_loss", "fidi_loss"]
