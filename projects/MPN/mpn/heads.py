"""The main and auxiliary tasks on the backbone's map (Fig. 3); shapes as in ``part_layers``."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from fastreid.config import configurable
from fastreid.layers import any_softmax
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from torch import Tensor, nn

from fastreid_projects.contract import Branch
from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.pooling import check_channels, refuse_pooling

from .cutting import Cutter
from .part_layers import ChannelAttention, PartConv, pool_relu, vector_layer
from .regions import Regions

TASKS = ("both", "main", "auxiliary")
SHARING = ("hard", "soft", "none")


class PartFeatures(NamedTuple):
    """The features of the tasks; None for a task that is not trained.

    Attributes:
        main: f_k, (N, K, C).
        auxiliary: z_k, (N, K, C).
    """

    main: Tensor | None
    auxiliary: Tensor | None


class PartClassifier(nn.Module):
    """K linear classifiers with the host's softmax variants.

    Args:
        num_classes: the number of identities.
        channels: C.
        cls_layer: the host's name of the layer, ``"Linear"`` in the paper.
        scale: the scale of a margin softmax.
        margin: the margin of a margin softmax.
    """

    def __init__(
        self, parts: int, channels: int, num_classes: int, cls_layer: str, scale: float, margin: float
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(parts, num_classes, channels).normal_(std=0.001))
        self.bias = nn.Parameter(torch.zeros(parts, num_classes))
        self.cls_layer = getattr(any_softmax, cls_layer)(num_classes, scale, margin)
        self.linear = cls_layer == "Linear"
        self.bias.requires_grad_(self.linear)  # a margin softmax compares directions

    def forward(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, K, classes) for the loss, and those without a margin, of (N, K, C) with labels (N,)."""
        if self.linear:
            logits = torch.einsum("nkc,kdc->nkd", features, self.weight) + self.bias
        else:
            logits = torch.einsum(
                "nkc,kdc->nkd", F.normalize(features, dim=2), F.normalize(self.weight, dim=2)
            )
        labels = targets[:, None].expand(logits.shape[:2]).reshape(-1)
        trained = self.cls_layer(logits.flatten(0, 1).clone(), labels).view_as(logits)
        return trained, logits * self.cls_layer.s


@REID_HEADS_REGISTRY.register()
class MPNHead(nn.Module):
    """Main tasks on F and auxiliary tasks on P_k, which share the layers that the config names.

    Args:
        feat_dim: B, the channels of F.
        num_classes: the number of identities.
        parts: K.
        width: C.
        tasks: ``"both"``; only ``"main"`` (MT only); only ``"auxiliary"`` (the stripe baseline, like PCB).
        share_conv1: ``"hard"``, ``"soft"`` or ``"none"``.
        share_conv2: the same; the channel attention is shared in the same way.
        attention: whether to use channel attention (Fig. 6).
        reduction: the reduction of the attention.
        norm: the host's name of the norm.
        cls_layer: the host's name of the classification layer.
        scale: the scale of a margin softmax.
        margin: the margin of a margin softmax.
    """

    architecture: ClassVar[str] = "MPN"  # the only one that can use it

    @configurable
    def __init__(
        self,
        *,
        feat_dim: int,
        num_classes: int,
        parts: int = 6,
        width: int = 512,
        tasks: str = "both",
        share_conv1: str = "hard",
        share_conv2: str = "hard",
        attention: bool = True,
        reduction: int = 16,
        norm: str = "BN",
        cls_layer: str = "Linear",
        scale: float = 1.0,
        margin: float = 0.0,
    ) -> None:
        super().__init__()
        self.channels, self.parts, self.tasks, self.share_conv1 = feat_dim, parts, tasks, share_conv1
        self.conv1 = PartConv(parts, feat_dim, width, norm)
        self.attention: ChannelAttention | None = None
        if attention:
            self.attention = ChannelAttention(parts, width, reduction, norm)
        self.conv2 = PartConv(parts, width, width, norm)
        self.classifier = PartClassifier(parts, width, num_classes, cls_layer, scale, margin)
        self.auxiliary = nn.ModuleDict()
        if tasks == "both":
            self.auxiliary["classifier"] = PartClassifier(parts, width, num_classes, cls_layer, scale, margin)
            if share_conv1 != "hard":
                self.auxiliary["conv1"] = PartConv(parts, feat_dim, width, norm)
            if share_conv2 != "hard":
                self.auxiliary["conv2"] = PartConv(parts, width, width, norm)
                if attention:
                    self.auxiliary["attention"] = ChannelAttention(parts, width, reduction, norm)

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Read ``MODEL.MPN`` and the keys that all heads of the host have.

        Raises:
            ConfigError: a value is unknown, or another pooling than MPN's is set.
        """
        node, heads = cfg.MODEL.MPN, cfg.MODEL.HEADS
        refuse_pooling(cfg, "MPNHead, which takes the maximum over each part")
        for key, known in (("TASKS", TASKS), ("SHARE_CONV1", SHARING), ("SHARE_CONV2", SHARING)):
            if node[key] not in known:
                raise ConfigError(f"MODEL.MPN.{key} is '{node[key]}'; it has to be one of {', '.join(known)}")
        for key in ("PARTS", "WIDTH", "REDUCTION"):
            if node[key] < 1:
                raise ConfigError(f"MODEL.MPN.{key} is {node[key]}; it has to be at least 1")
        return {
            "feat_dim": cfg.MODEL.BACKBONE.FEAT_DIM,
            "num_classes": heads.NUM_CLASSES,
            "parts": node.PARTS,
            "width": node.WIDTH,
            "tasks": node.TASKS,
            "share_conv1": node.SHARE_CONV1,
            "share_conv2": node.SHARE_CONV2,
            "attention": node.ATTENTION,
            "reduction": node.REDUCTION,
            "norm": heads.NORM,
            "cls_layer": heads.CLS_LAYER,
            "scale": heads.SCALE,
            "margin": heads.MARGIN,
        }

    def forward(self, maps: Tensor, regions: Regions | None = None) -> Tensor | PartFeatures:
        """Return the features of both tasks (training), or h (N, K * C) of Eq. 2 (evaluation), of F (N, B, H, W).

        Args:
            maps: F.
            regions: the prior of the auxiliary tasks; None divides evenly.

        Raises:
            ConfigError: the number of channels differs from ``MODEL.BACKBONE.FEAT_DIM``.
        """
        check_channels(maps, self.channels)
        if not self.training:
            features = self.stripe_features(maps, regions) if self.tasks == "auxiliary" else self.main(maps)
            return features.flatten(1)
        if self.tasks == "auxiliary":
            return PartFeatures(None, self.stripe_features(maps, regions))
        convolved = self.conv1.on_whole(maps)
        main = self.second(pool_relu(self.conv1, convolved))
        if self.tasks == "main":
            return PartFeatures(main, None)
        return PartFeatures(main, self._auxiliary(maps, convolved, regions))

    def main(self, maps: Tensor) -> Tensor:
        """Return the features of the main tasks, f_k: (N, B, H, W) -> (N, K, C)."""
        return self.second(pool_relu(self.conv1, self.conv1.on_whole(maps)))

    def explained_branch(self, maps: Tensor) -> Branch:
        """Return the main tasks on F as one branch of K * C channels, for AMD.

        Raises:
            ConfigError: there are no main tasks.
        """
        if self.tasks == "auxiliary":
            raise ConfigError(
                "AMD explains MPN's main tasks, but MODEL.MPN.TASKS is 'auxiliary'; use 'both' or 'main'"
            )
        features = self.conv1.normalize(self.conv1.on_whole(maps)).relu()
        return Branch(features, nn.AdaptiveMaxPool2d(1), _SecondLayer(self))

    def stripe_features(self, maps: Tensor, regions: Regions | None) -> Tensor:
        """Apply the layers of each part only to its piece of the map: (N, B, H, W) -> (N, K, C)."""
        pieces = Cutter(regions, self.parts, maps).pieces(maps)
        return self.second(pool_relu(self.conv1, self.conv1.on_parts(pieces)))

    def second(self, vectors: Tensor) -> Tensor:
        """Apply channel attention and the second layer of every part: (N, K, C) -> (N, K, C)."""
        if self.attention is not None:
            vectors = self.attention(vectors)
        return vector_layer(self.conv2, vectors).relu()

    def _auxiliary(self, maps: Tensor, convolved: Tensor, regions: Regions | None) -> Tensor:
        """Return z_k, (N, K, C); shared layers use the statistics of these inputs without keeping them."""
        cutter = Cutter(regions, self.parts, maps)
        own: Any = self.auxiliary
        if "conv1" in own:
            x = own["conv1"].on_parts(cutter.pieces(maps))
            vectors = pool_relu(own["conv1"], x)
        else:
            x = cutter.convolved_pieces(self.conv1, convolved)
            vectors = pool_relu(self.conv1, x, track=False)
        track = "conv2" in own
        if self.attention is not None:
            attention = own["attention"] if track else self.attention
            vectors = attention(vectors, track=track)
        return vector_layer(own["conv2"] if track else self.conv2, vectors, track=track).relu()


class _SecondLayer(nn.Module):
    """The layers after the maximum of all parts, (N, K * C, 1, 1) -> (N, K * C); they belong to the head."""

    def __init__(self, head: MPNHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, pooled: Tensor) -> Tensor:
        return self.head.second(pooled.view(len(pooled), self.head.parts, -1)).flatten(1)
