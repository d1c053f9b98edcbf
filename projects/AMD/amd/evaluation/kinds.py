"""The kinds of maps that are measured side by side, for one pair of images.

| letter | meaning                                              |
| ------ | ---------------------------------------------------- |
| M, K   | attributes; those that are asked for                 |
| H, W   | size of an image as the model takes it               |
| h, w   | size of a map; kinds differ in it                    |

| kind           | what a map shows                                                                               |
| -------------- | ---------------------------------------------------------------------------------------------- |
| contribution   | the shares of the cells of the target's last map in d^k, which add up to it                     |
| attention      | A^k of the interpreter, as in the paper                                                         |
| gradient       | gradient x activation of d^k at the map where the interpreter leaves the target                 |
| random         | numbers of [0, 1)                                                                               |
| distance       | the shares of the cells in d of the target itself, without an interpreter (no attributes)       |
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
        images: (2, 3, H, W) of 0..255.
        generator: of the random maps.
    """

    def __init__(self, explainer: Explainer, images: Tensor, generator: torch.Generator) -> None:
        self.explainer = explainer
        self.images = images
        self.generator = generator
        self.encoded = explainer.encode(images, looks=True)

    def attributes(self, kind: str, chosen: Sequence[int]) -> Tensor:
        """Maps of some attributes on both images, (2, K, h, w); above 0 is what speaks for the difference."""
        ks = list(chosen)
        if kind == "contribution":
            return torch.stack([self._split.first[ks], self._split.second[ks]])
        if kind == "attention":
            return self.encoded.attention[:, ks]
        if kind == "gradient":
            return gradient_maps(self.explainer, self.images, ks)
        return torch.rand(2, len(ks), *self.encoded.attention.shape[2:], generator=self.generator)

    def total(self, kind: str) -> Tensor:
        """Where the whole distance is said to come from, (2, h, w)."""
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
    """Where the attention to what tells a pair apart lies: sum_k r^k A^k, each map of mean 1.

    Args:
        encoded: of two images.

    Returns:
        (2, h, w).
    """
    parts = (encoded.features[0] - encoded.features[1]).norm(dim=1)
    shares = parts / parts.sum().clamp(min=1e-12)
    maps = encoded.attention / encoded.attention.mean(dim=(2, 3), keepdim=True)
    return torch.einsum("k,nkhw->nhw", shares, maps)


def gradient_maps(explainer: Explainer, images: Tensor, chosen: Sequence[int] | None) -> Tensor:
    """Gradient x activation of d^k at the map after the shared stages, through target and interpreter.

    Args:
        explainer: the interpreter; neither flipped nor normalised by it.
        images: (2, 3, H, W) of 0..255.
        chosen: attributes k; None asks for their sum.

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
