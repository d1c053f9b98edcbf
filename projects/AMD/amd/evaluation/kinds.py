"""The kinds of maps that are compared with each other, for one pair of images.

| letter | meaning                                              |
| ------ | ---------------------------------------------------- |
| M, K   | all attributes; the chosen ones                      |
| H, W   | size of the model's input image                      |
| h, w   | size of a map, which depends on its kind             |

| kind           | what a map shows                                                                               |
| -------------- | ---------------------------------------------------------------------------------------------- |
| contribution   | shares of d^k, which add up to it, for each cell of the target's last map                      |
| attention      | A^k of the interpreter, as in the paper                                                        |
| gradient       | gradient x activation of d^k at the map after the shared stages                                |
| random         | random numbers in [0, 1)                                                                       |
| distance       | shares of the target's own d for each cell, without an interpreter (no attributes)             |
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from fastreid_projects.modeling.modes import evaluating
from fastreid_projects.visualization.contributions.maps import PairMaps, pair_maps

from ..explain.explainer import Explainer
from ..explain.pairs import Encoded

ATTRIBUTE_KINDS = ("contribution", "attention", "gradient", "random")
KINDS = (*ATTRIBUTE_KINDS, "distance")


class PairKinds:
    """Maps of every kind of two images.

    Args:
        explainer: the interpreter.
        images: (2, 3, H, W) in 0..255.
        generator: generator of the random maps.
    """

    def __init__(self, explainer: Explainer, images: Tensor, generator: torch.Generator) -> None:
        self.explainer = explainer
        self.images = images
        self.generator = generator
        self.encoded = explainer.encode(images, looks=True)

    def attributes(self, kind: str, chosen: Sequence[int]) -> Tensor:
        """Return the maps of some attributes on both images, (2, K, h, w); positive values push the two apart."""
        ks = list(chosen)
        if kind == "contribution":
            return torch.stack([self._split.first[ks], self._split.second[ks]])
        if kind == "attention":
            return self.encoded.attention[:, ks]
        if kind == "gradient":
            return gradient_maps(self.explainer, self.images, ks)
        return torch.rand(2, len(ks), *self.encoded.attention.shape[2:], generator=self.generator)

    def total(self, kind: str) -> Tensor:
        """Return the maps (2, h, w) of where the whole distance comes from, according to this kind."""
        if kind == "contribution":
            return torch.stack([self._split.first.sum(dim=0), self._split.second.sum(dim=0)])
        if kind == "attention":
            return importance(self.encoded)
        if kind == "gradient":
            return gradient_maps(self.explainer, self.images, None)[:, 0]
        if kind == "distance":
            whole = self._whole
            return torch.stack([whole.first[0], whole.second[0]])
        return torch.rand(2, *self.encoded.attention.shape[2:], generator=self.generator)

    @cached_property
    def _split(self) -> PairMaps:
        (a, b), features = self.encoded.looks, self.encoded.features
        return pair_maps(features[0], features[1], a.attributes, b.attributes)

    @cached_property
    def _whole(self) -> PairMaps:
        (a, b), embeddings = self.encoded.looks, self.encoded.embeddings
        return pair_maps(embeddings[:1], embeddings[1:], a.whole, b.whole)


def importance(encoded: Encoded) -> Tensor:
    """Return the attention weighted by contribution: sum_k r^k A^k, each map scaled to mean 1.

    Args:
        encoded: the two encoded images.

    Returns:
        (2, h, w).
    """
    parts = (encoded.features[0] - encoded.features[1]).norm(dim=1)
    shares = parts / parts.sum().clamp(min=1e-12)
    maps = encoded.attention / encoded.attention.mean(dim=(2, 3), keepdim=True)
    return torch.einsum("k,nkhw->nhw", shares, maps)


def gradient_maps(explainer: Explainer, images: Tensor, chosen: Sequence[int] | None) -> Tensor:
    """Return gradient x activation of d^k at the map after the shared stages, through target and interpreter.

    Args:
        explainer: the explainer, whose ``flip`` and ``cosine`` are not applied.
        images: (2, 3, H, W) in 0..255.
        chosen: the attributes k; None for their sum.

    Returns:
        (2, K or 1, h, w) on the CPU.
    """
    model = explainer.model
    with evaluating(model), torch.no_grad():
        x = model.preprocess_image(images)
        stages = model.target.stages[: model.target.shared_stages]
        maps = list(itertools.accumulate(stages, lambda y, stage: stage(y), initial=x))[1:]
        shared = maps[-1].requires_grad_()
    with evaluating(model), torch.enable_grad():
        output, attention = model.attend(x, maps)
        features = model.attribute_features(output, attention)
        parts = (features[0] - features[1]).norm(dim=1)
        scores = [parts.sum()] if chosen is None else [parts[k] for k in chosen]
        found = [
            (shared * torch.autograd.grad(score, shared, retain_graph=True)[0]).sum(dim=1) for score in scores
        ]
    empty = shared.new_zeros(2, 0, *shared.shape[2:])
    return (torch.stack(found, dim=1) if found else empty).detach().cpu()
