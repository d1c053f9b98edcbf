"""Where the distance of two images comes from, for any model that returns features.

| letter | meaning                                   |
| ------ | ----------------------------------------- |
| N      | images                                    |
| H, W   | size of the model's input image           |
| D      | size of the feature                       |
| h, w   | size of the model's (largest) last map    |
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastreid_projects.contract import Branch, compared_model, output_kind
from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.modes import evaluating
from fastreid_projects.visualization.contributions.maps import BranchView, View, pair_maps
from fastreid_projects.visualization.contributions.opening import Opener, branches_of, stages_to_maps
from fastreid_projects.visualization.contributions.ray import RayView, ray_layers


class Seen(NamedTuple):
    """An image as a model sees it.

    Attributes:
        embedding: the feature that is compared, (D,).
        views: the views that the feature comes from.
    """

    embedding: Tensor
    views: Sequence[View]


class DistanceMaps(NamedTuple):
    """Where a distance comes from.

    Attributes:
        distance: distance of the two compared features.
        first: shares of the first image's cells, (h, w): positive ones push the two apart, negative ones together.
        second: shares of the second image's cells.
        rest: the distance minus all shares.
    """

    distance: float
    first: Tensor
    second: Tensor
    rest: float


class DistanceExplainer:
    """Split Euclidean distances of a model's features over the cells of both images.

    For models whose feature is pooled from last maps (BoT, SBS, MGN and all architectures here), the split is exact.
    For any other model, e.g. a transformer, integrated gradients from zero to its patches or maps are used.

    Args:
        model: images (N, 3, H, W) in 0..255 -> features (N, D) in evaluation; for an interpreter, its target.
        flip: whether to average the features of an image and its mirror image, as ``TEST.FLIP`` does.
        cosine: whether to divide each feature by its norm, so that distances rank as with ``TEST.METRIC cosine``.

    Raises:
        ConfigError: the model does not return features, or has no map to show.
    """

    def __init__(self, model: Any, *, flip: bool = False, cosine: bool = False) -> None:
        self.model: Any = compared_model(model)
        if output_kind(self.model) != "features":
            raise ConfigError(
                f"{type(self.model).__name__} returns {output_kind(self.model)}, not features with distances"
            )
        self.flip = flip
        self.cosine = cosine
        self._opener: Opener | None = branches_of(self.model)
        self._stages: list[nn.Module] = []
        self._layers: dict[str, nn.Module] = {}
        if self._opener is not None:
            try:
                self._stages = stages_to_maps(self.model)
            except ConfigError:  # a backbone with maps of several sizes
                self._opener = None
        if self._opener is None:
            self._layers = ray_layers(self.model)

    def explain(self, first: Tensor, second: Tensor) -> list[DistanceMaps]:
        """Split the distance of the i-th images of two batches (N, 3, H, W) in 0..255."""
        pairs = zip(self.see(first), self.see(second), strict=True)
        return [self.split(a, b) for a, b in pairs]

    @staticmethod
    def split(a: Seen, b: Seen) -> DistanceMaps:
        """Split the distance of two images."""
        found = pair_maps(a.embedding[None], b.embedding[None], a.views, b.views)
        return DistanceMaps(
            float(found.values), found.first[0].cpu(), found.second[0].cpu(), float(found.rest)
        )

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """Return the compared features, (N, D) on the model's device."""
        images = images.to(self._device)
        with evaluating(self.model):
            features = [self._features(look) for look in self._looks(images)]
        feature = torch.stack(features).mean(dim=0)
        return F.normalize(feature, dim=1) if self.cosine else feature

    @torch.no_grad()
    def see(self, images: Tensor) -> list[Seen]:
        """Encode images (N, 3, H, W) in 0..255."""
        images = images.to(self._device)
        looks = self._looks(images)
        with evaluating(self.model):
            if self._opener is not None and not self._opens(images[:1]):
                self._opener, self._layers = None, ray_layers(self.model)
            opened = [self._branches(look) for look in looks] if self._opener else []
            features = [branch_features(found) for found in opened] or [self._features(x) for x in looks]
        mean = torch.stack(features).mean(dim=0)
        norms = mean.norm(dim=1).clamp(min=1e-12) if self.cosine else torch.ones_like(mean[:, 0])
        scales = (1 / (len(looks) * norms)).tolist()
        return [
            Seen(mean[i] / norms[i], [self._view(opened, looks, i, n, scale) for n in range(len(looks))])
            for i, scale in enumerate(scales)
        ]

    def _view(
        self, opened: list[list[Branch]], looks: list[Tensor], i: int, number: int, scale: float
    ) -> View:
        """Return a view of the i-th image or, as the second one, of its mirror image."""
        if opened:
            return BranchView(image_branches(opened[number], i), scale=scale, mirrored=number == 1)
        return RayView(self.model, self._layers, looks[number][i : i + 1], scale, number == 1)

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _looks(self, images: Tensor) -> list[Tensor]:
        return [images, images.flip(3)] if self.flip else [images]

    def _features(self, images: Tensor) -> Tensor:
        features = self.model(images)
        if not isinstance(features, Tensor) or features.dim() != 2:
            raise ConfigError(
                f"{type(self.model).__name__} does not return features whose distance could be explained"
            )
        return features.float()

    def _branches(self, images: Tensor) -> list[Branch]:
        if self._opener is None:
            raise ConfigError(f"{type(self.model).__name__} has no branches")
        x = self.model.preprocess_image(images)
        return self._opener(
            list(itertools.accumulate(self._stages, lambda x, stage: stage(x), initial=x))[1:]
        )

    def _opens(self, image: Tensor) -> bool:
        """Return whether the branches have cells and together give the feature that the model returns."""
        branches = self._branches(image)
        if all(branch.features.shape[-2:].numel() == 1 for branch in branches):
            return False
        parts = branch_features(branches)
        whole = self._features(image)
        return parts.shape == whole.shape and torch.allclose(
            parts, whole, rtol=1e-3, atol=1e-3 * float(whole.abs().max())
        )


def branch_features(branches: Sequence[Branch]) -> Tensor:
    """Return the concatenated embeddings of the branches, (N, D) in float32."""
    return torch.cat([branch.embedding() for branch in branches], dim=1).float()


def image_branches(branches: Sequence[Branch], i: int) -> list[Branch]:
    """Return the branches of only the i-th image; maps that several branches share are copied once."""
    own: dict[int, Tensor] = {}
    for branch in branches:
        own.setdefault(id(branch.features), branch.features[i : i + 1].clone())
    return [branch._replace(features=own[id(branch.features)]) for branch in branches]
