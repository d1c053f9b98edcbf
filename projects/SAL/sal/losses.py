"""The self-attention constraint and the quadruplet-hard loss.

| letter | meaning                           |
| ------ | --------------------------------- |
| N      | images of the batch               |
| C      | channels of a feature map         |
| H x W  | size of a feature map             |
| D      | size of a feature                 |

The functions and modules need only torch; reading a config needs the host.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.losses import euclidean_distances, register_loss
from fastreid_projects.losses.distances import wide
from fastreid_projects.losses.feature_maps import FEATURE_MAPS
from fastreid_projects.losses.gather import gather_batch

IDENTITIES = 3  # of a quadruplet: y_i, y_k, y_h


def attention_map(features: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Return the spatial attention of a feature map: the mean of squares over channels, with unit l2 norm (Eq. 1).

    Args:
        features: (N, C, H, W), of any floating-point type; computed at least in float32.
        size: a height and width to which the map is resized before it is scaled.

    Returns:
        (N, H, W) or (N, *size), >= 0; the map of an image has norm 1, or is zero if its features are.

    Raises:
        ValueError: the features are not (N, C, H, W) floats.
    """
    if features.dim() != 4 or not features.is_floating_point():
        raise ValueError(
            f"a feature map is of floats of shape (N, C, H, W), not {features.dtype} {tuple(features.shape)}"
        )
    with torch.autocast(features.device.type, enabled=False):
        energy = wide(features).square().mean(dim=1)
        if size is not None and tuple(energy.shape[1:]) != tuple(size):
            energy = F.interpolate(energy.unsqueeze(1), size=size, mode="bilinear", antialias=True).squeeze(1)
        # The quotient does not depend on the scale; dividing by it first keeps squares of squares in range.
        largest = energy.detach().amax(dim=(1, 2), keepdim=True)
        energy = energy / torch.where(largest > 0, largest, torch.ones_like(largest))
        return F.normalize(energy.flatten(1), dim=1).view_as(energy)


def self_attention_constraint(maps: Sequence[Tensor]) -> Tensor:
    """Return L_sac: squared distances between the last map's attention and that of each other map (Eq. 2).

    With the maps of stage4, stage5 and stage6: |s6 - s5|^2 + |s6 - s4|^2, summed over positions, averaged over images.
    Attention of another size is resized to that of the last map.

    Args:
        maps: two or more (N, C, H, W); C, H and W may differ.

    Returns:
        A scalar, 0 to 2 (len(maps) - 1).

    Raises:
        ValueError: there are fewer than two maps, or maps of different numbers of images.
    """
    if len(maps) < 2:
        raise ValueError(f"the self-attention constraint compares two or more feature maps, not {len(maps)}")
    if len({len(features) for features in maps}) > 1:
        counts = ", ".join(str(len(features)) for features in maps)
        raise ValueError(f"the feature maps have to be of the same images, but there are {counts} of them")
    reference = attention_map(maps[-1])
    size = (reference.shape[1], reference.shape[2])
    gaps = [(reference - attention_map(features, size)).square().sum(dim=(1, 2)) for features in maps[:-1]]
    return torch.stack(gaps).sum(dim=0).sum() / max(len(reference), 1)


def quadruplet_hard_loss(
    features: Tensor, labels: Tensor, *, margin1: float = 0.5, margin2: float = 0.2
) -> Tensor:
    """Return L_quad with the hardest quadruplet of each anchor x_i (Eq. 5).

    [d(x_i, x_j) - d(x_i, x_k) + margin1]_+ + [d(x_i, x_j) - d(x_k, x_h) + margin2]_+, where x_j is the farthest
    positive and x_k the nearest negative of x_i, and x_h is the nearest to x_k with an identity that is neither
    y_k nor y_i. d is Euclidean.

    Args:
        features: (N, D), of any floating-point type; distances are at least float32.
        labels: (N,) identities, three or more.
        margin1: epsilon_1.
        margin2: epsilon_2.

    Returns:
        A scalar, the mean over the anchors that have a positive; 0 with its graph if none has one. NaN if a batch on a
        GPU holds fewer than three identities, since asking for their number would wait for the GPU.

    Raises:
        DataError: a batch on the CPU holds fewer than three identities.
        ValueError: there is not one label per image.
    """
    if labels.shape != (len(features),):
        raise ValueError(
            f"{len(features)} features need as many labels, not a shape of {tuple(labels.shape)}"
        )
    too_few = _identities(labels) < IDENTITIES
    if not labels.is_cuda and too_few:
        raise DataError(
            f"the quadruplet-hard loss needs {IDENTITIES} identities in a batch, but this one has "
            f"{int(_identities(labels))}: "
            "use larger batches or fewer images of each identity (in a config: SOLVER.IMS_PER_BATCH, "
            "DATALOADER.NUM_INSTANCE)"
        )
    distances = euclidean_distances(features)
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    farthest = distances.masked_fill(~positive, -1).amax(dim=1)
    infinite = torch.finfo(distances.dtype).max
    nearest, k = distances.masked_fill(same, infinite).min(dim=1)
    other = distances[k].masked_fill(same[k] | same, infinite).amin(dim=1)
    losses = (farthest - nearest + margin1).relu() + (farthest - other + margin2).relu()
    anchors = positive.any(dim=1)
    loss = (losses * anchors).sum() / anchors.sum().clamp(min=1)
    return loss.masked_fill(too_few, math.nan)


def _identities(labels: Tensor) -> Tensor:
    """Return how many different labels (N,) there are, a scalar where the labels are."""
    ordered = labels.sort().values
    return (ordered[1:] != ordered[:-1]).sum() + min(len(labels), 1)


@register_loss
class SelfAttentionConstraint(nn.Module):
    """Compute :func:`self_attention_constraint` as a module, for any model with feature maps.

    Args:
        layers: the modules of the model whose maps it uses, see :mod:`fastreid_projects.losses.feature_maps`.
    """

    inputs = FEATURE_MAPS
    config_node = "SAC"

    def __init__(self, layers: Sequence[str] = ("backbone",)) -> None:
        super().__init__()
        self.layers = tuple(layers)

    @classmethod
    def from_config(cls, cfg: Any) -> SelfAttentionConstraint:
        """Read ``MODEL.LOSSES.SAC``.

        Raises:
            ConfigError: its layers are known to give fewer than two maps.
        """
        layers = tuple(cfg.MODEL.LOSSES.SAC.LAYERS)
        if not layers or (layers == ("backbone",) and _gives_one_map(cfg)):
            raise _too_few(layers, len(layers))
        twice = next((name for number, name in enumerate(layers) if name in layers[:number]), None)
        if twice is not None:
            raise ConfigError(
                f"MODEL.LOSSES.SAC.LAYERS names {twice} twice: a map is equal to itself; name it once"
            )
        return cls(layers)

    def forward(self, maps: Sequence[Tensor], labels: Tensor | None = None) -> Tensor:
        """Return the loss of a list of feature maps (N, C, H, W), a scalar; identities are not used.

        Raises:
            ConfigError: the layers gave fewer than two maps.
        """
        if len(maps) < 2:
            raise _too_few(self.layers, len(maps))
        return self_attention_constraint(maps)

    def extra_repr(self) -> str:
        """Show the layers."""
        return f"layers={self.layers}"


def _gives_one_map(cfg: Any) -> bool:
    """Return whether ``MODEL.BACKBONE`` returns a single map: the host's and timm's do, and ours with one level."""
    from fastreid_projects.config.checks import DEPTHS
    from fastreid_projects.modeling.backbones.timm_names import BUILDER

    from .backbone import BUILDERS

    name = cfg.MODEL.BACKBONE.NAME
    return name in DEPTHS or name == BUILDER or (name in BUILDERS and len(cfg.MODEL.SAL.LEVELS) < 2)


def _too_few(layers: Sequence[str], count: int) -> ConfigError:
    return ConfigError(
        f"MODEL.LOSSES.SAC.LAYERS {layers} gives the self-attention constraint {count} feature map"
        f"{'' if count == 1 else 's'}, but it compares two or more: name modules of the model, e.g. "
        "\"('backbone.layer3','backbone.layer4')\" for a ResNet"
    )


@register_loss
class QuadrupletHardLoss(nn.Module):
    """Compute :func:`quadruplet_hard_loss` as a module: ``loss(embeddings, labels)``.

    Args:
        margin1: epsilon_1.
        margin2: epsilon_2.
        gather: whether to mine over the features of all processes; see :mod:`fastreid_projects.losses.gather`.
    """

    inputs = "features"
    config_node = "QUADRUPLET"

    def __init__(self, margin1: float = 0.5, margin2: float = 0.2, gather: bool = False) -> None:
        super().__init__()
        self.margin1, self.margin2, self.gather = margin1, margin2, gather

    @classmethod
    def from_config(cls, cfg: Any) -> QuadrupletHardLoss:
        """Read ``MODEL.LOSSES.QUADRUPLET``.

        Raises:
            ConfigError: the batches of the sampler hold fewer than three identities.
        """
        from fastreid.utils import comm

        node = cfg.MODEL.LOSSES.QUADRUPLET
        batch, per_identity = cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE
        identities = batch // (1 if node.GATHER else comm.get_world_size()) // per_identity
        if "Identity" in cfg.DATALOADER.SAMPLER_TRAIN and identities < IDENTITIES:
            raise ConfigError(
                f"SOLVER.IMS_PER_BATCH {batch} with DATALOADER.NUM_INSTANCE {per_identity} gives the quadruplet-hard "
                f"loss {identities} identities in a batch, but it needs {IDENTITIES}: change one of them"
            )
        return cls(node.MARGIN1, node.MARGIN2, node.GATHER)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of features (N, D) with labels (N,), a tensor or a list; a scalar."""
        labels = torch.as_tensor(labels, device=features.device)
        if self.gather:
            features, labels = gather_batch(features, labels)
        return quadruplet_hard_loss(features, labels, margin1=self.margin1, margin2=self.margin2)

    def extra_repr(self) -> str:
        """Show the options."""
        return f"margin1={self.margin1}, margin2={self.margin2}, gather={self.gather}"
