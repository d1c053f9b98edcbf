"""Losses by name: the registry, and the losses that do not belong to a single paper."""

from fastreid_projects.losses.batch_hard import BatchHardTripletLoss, batch_hard_triplet_loss
from fastreid_projects.losses.distances import cosine_distances, euclidean_distances
from fastreid_projects.losses.registry import (
    LOSSES,
    NamedLoss,
    build_losses,
    check_loss_names,
    register_loss,
)

__all__ = [
    "LOSSES",
    "BatchHardTripletLoss",
    "NamedLoss",
    "batch_hard_triplet_loss",
    "build_losses",
    "check_loss_names",
    "cosine_distances",
    "euclidean_distances",
    "register_loss",
]
