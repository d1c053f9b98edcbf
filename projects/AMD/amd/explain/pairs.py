"""Pairs of images to explain, and the base class of all explainers.

| letter | meaning                                                      |
| ------ | ------------------------------------------------------------ |
| N      | images                                                       |
| M      | number of attributes; 0 without an interpreter               |
| D      | size of a feature                                            |
| h, w   | size of a map                                                |
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fastreid_projects.data.attributes import UNKNOWN, AttributeSet
from fastreid_projects.data.images import ImageLike, as_rgb
from fastreid_projects.errors import DataError
from fastreid_projects.visualization.contributions.maps import ROUNDING, View, pair_maps

from .answer import Answer
from .calibration import Calibration
from .explanation import AttributeContribution, MapKind, PairExplanation, WholeMaps

NO_ATTRIBUTES = AttributeSet("none", "", "", ())


class Look(NamedTuple):
    """What the features of one image come from.

    Attributes:
        whole: views of the target's feature.
        attributes: views of all f^k, with attention; empty without an interpreter.
    """

    whole: Sequence[View] = ()
    attributes: Sequence[View] = ()


class Encoded(NamedTuple):
    """N images as the models see them; features and attention are on the CPU.

    Attributes:
        embeddings: the target's features, (N, D).
        features: f^k, (N, M, D).
        attention: A, (N, M, h, w).
        looks: what the features of each image come from; empty if not asked for.
    """

    embeddings: Tensor
    features: Tensor
    attention: Tensor
    looks: Sequence[Look] = ()


class Pair(NamedTuple):
    """Two images, and what is known about them.

    Attributes:
        query: a path, a PIL image, or an RGB array (H, W, 3) in 0..255.
        gallery: likewise.
        query_attributes: the M labels (0, 1, or -1 if unknown), for the phrases; None if none is known.
        gallery_attributes: likewise.
        same_identity: whether both show the same person; None if not known.
        caption: a sentence to print above the pair.
        query_person: the person in the query image, for searches in the report; "" if not known.
        gallery_person: likewise.
        wrong_match: whether a search would return the gallery image as a match although it shows another person.
    """

    query: ImageLike
    gallery: ImageLike
    query_attributes: Sequence[int] | None = None
    gallery_attributes: Sequence[int] | None = None
    same_identity: bool | None = None
    caption: str = ""
    query_person: str = ""
    gallery_person: str = ""
    wrong_match: bool = False


@dataclass
class _Seen:
    """An encoded image (a row of :class:`Encoded`) that is still needed for some pairs."""

    picture: Image.Image
    embedding: Tensor
    features: Tensor
    attention: Tensor
    look: Look


@dataclass
class _Cache:
    """Images that are kept from the first to the last pair that shows them."""

    uses: Counter[Any]
    seen: dict[Any, _Seen] = field(default_factory=dict)

    def used(self, key: Any) -> None:
        self.uses[key] -= 1
        if not self.uses[key]:
            del self.seen[key]


class PairExplainer:
    """Explain pairs of images that a subclass encodes.

    Args:
        transform: the host's test transform: PIL image -> float tensor (3, H, W) in 0..255.
        attribute_set: the M attributes.
        maps: what an attribute's maps show: where its contribution arises, or the interpreter's attention.

    Attributes:
        calibration: what the distances and contributions mean; None if not known.
    """

    def __init__(self, transform: Any, attribute_set: AttributeSet, maps: MapKind = "contributions") -> None:
        self.transform = transform
        self.attribute_set = attribute_set
        self.maps: MapKind = maps
        self.calibration: Calibration | None = None

    def encode(self, images: Sequence[ImageLike] | Tensor, *, looks: bool = False) -> Encoded:
        """Return the models' outputs for N images, or for the tensor of :meth:`load`; ``looks`` adds their sources."""
        raise NotImplementedError

    def embed(self, images: Sequence[ImageLike] | Tensor) -> Tensor:
        """Return the target's features alone, (N, D) on the CPU."""
        raise NotImplementedError

    def load(self, images: Sequence[ImageLike]) -> Tensor:
        """Return images in the form the model expects: RGB, (N, 3, H, W) in 0..255.

        Raises:
            DataError: a file is not an image; the message names it.
        """
        return torch.stack([self.transform(as_rgb(image)) for image in images])

    def explain(
        self,
        query: ImageLike,
        gallery: ImageLike,
        *,
        query_attributes: Sequence[int] | None = None,
        gallery_attributes: Sequence[int] | None = None,
        same_identity: bool | None = None,
        caption: str = "",
    ) -> PairExplanation:
        """Explain one pair; the arguments are those of :class:`Pair`.

        Returns:
            The distance, where it comes from, and the contributions of all M attributes with phrases and maps.

        Raises:
            DataError: an image cannot be read; the message names it.
        """
        pair = Pair(query, gallery, query_attributes, gallery_attributes, same_identity, caption)
        return self.explain_pairs([pair])[0]

    def explain_pairs(
        self, pairs: Sequence[Pair | tuple[ImageLike, ImageLike]], batch_size: int = 32
    ) -> list[PairExplanation]:
        """Explain many pairs; an image in several pairs is encoded once and kept until the last of them.

        Args:
            pairs: the pairs, with or without labels.
            batch_size: number of images to encode at a time.

        Raises:
            DataError: an image cannot be read; the message names it.
        """
        full = [pair if isinstance(pair, Pair) else Pair(*pair) for pair in pairs]
        cache = _Cache(Counter(_key(image) for pair in full for image in pair[:2]))
        explained = []
        step = max(batch_size // 2, 1)
        for start in range(0, len(full), step):
            part = full[start : start + step]
            self._look_at(part, cache)
            for pair in part:
                query, gallery = (cache.seen[_key(image)] for image in pair[:2])
                explained.append(self._describe(pair, query, gallery))
                for image in pair[:2]:
                    cache.used(_key(image))
        return explained

    def _look_at(self, pairs: Sequence[Pair], cache: _Cache) -> None:
        """Encode the images of some pairs that are not in the cache."""
        new = {_key(image): image for pair in pairs for image in pair[:2] if _key(image) not in cache.seen}
        if not new:
            return
        pictures = [as_rgb(image) for image in new.values()]
        batch = self.encode(pictures, looks=True)
        for i, (key, picture) in enumerate(zip(new, pictures, strict=True)):
            cache.seen[key] = _Seen(
                picture, batch.embeddings[i], batch.features[i], batch.attention[i], batch.looks[i]
            )

    def _describe(self, pair: Pair, query: _Seen, gallery: _Seen) -> PairExplanation:
        whole = pair_maps(
            query.embedding[None], gallery.embedding[None], query.look.whole, gallery.look.whole
        )
        return PairExplanation(
            query_image=np.asarray(query.picture),
            gallery_image=np.asarray(gallery.picture),
            query_name=_name(pair.query),
            gallery_name=_name(pair.gallery),
            query_person=pair.query_person,
            gallery_person=pair.gallery_person,
            wrong_match=pair.wrong_match,
            same_identity=pair.same_identity,
            distance=float((query.embedding - gallery.embedding).norm()),
            contributions=self._contributions(pair, query, gallery) if len(self.attribute_set) else [],
            caption=pair.caption,
            whole=WholeMaps(whole.first[0].cpu().numpy(), whole.second[0].cpu().numpy(), float(whole.rest)),
            maps=self.maps,
            answer=self._answer(query, gallery),
        )

    def _answer(self, a: _Seen, b: _Seen) -> Answer | None:
        """Return what the calibrated model says about the pair; None without a calibration."""
        if self.calibration is None:
            return None
        distance = float((a.embedding - b.embedding).norm())
        return self.calibration.answer(
            self.attribute_set.attributes,
            distance,
            (a.features - b.features).norm(dim=1).double().numpy(),
            (a.features.norm(dim=1).double().numpy(), b.features.norm(dim=1).double().numpy()),
            one_image=distance <= ROUNDING * float(a.embedding.norm() + b.embedding.norm()),
        )

    def _contributions(self, pair: Pair, a: _Seen, b: _Seen) -> list[AttributeContribution]:
        parts = (a.features - b.features).norm(dim=1)
        equal = (parts <= ROUNDING * (a.features.norm(dim=1) + b.features.norm(dim=1))).tolist()
        count = len(self.attribute_set)
        known = [
            labels_of(labels, count, what)
            for labels, what in ((pair.query_attributes, "query"), (pair.gallery_attributes, "gallery"))
        ]
        maps, rest = [a.attention.numpy(), b.attention.numpy()], np.zeros(count)
        if self.maps == "contributions":
            found = pair_maps(a.features, b.features, a.look.attributes, b.look.attributes)
            maps, rest = [found.first.cpu().numpy(), found.second.cpu().numpy()], found.rest.cpu().numpy()
        return [
            AttributeContribution(
                name=attribute.name,
                phrase=attribute.describe_pair(known[0][k], known[1][k], alike=equal[k]),
                value=float(parts[k]),
                exclusive=None if UNKNOWN in (known[0][k], known[1][k]) else known[0][k] != known[1][k],
                query_map=maps[0][k],
                gallery_map=maps[1][k],
                rest=float(rest[k]),
                group=attribute.group,
                topic=attribute.topic,
            )
            for k, attribute in enumerate(self.attribute_set.attributes)
        ]


def labels_of(values: Sequence[int] | None, count: int, what: str) -> tuple[int, ...]:
    """Return the M labels of 0, 1 or -1; all are unknown for None."""
    if values is None:
        return (UNKNOWN,) * count
    labels = tuple(int(value) for value in values)
    strange = next((label for label in labels if label not in (UNKNOWN, 0, 1)), None)
    if len(labels) != count or strange is not None:
        wrong = f"{len(labels)} values" if strange is None else f"the value {strange}"
        raise DataError(
            f"the attributes of the {what} have {wrong}; they have to be {count} values of 0, 1 or {UNKNOWN} (unknown)"
        )
    return labels


def _key(image: ImageLike) -> Any:
    return os.fspath(image) if isinstance(image, str | os.PathLike) else id(image)


def _name(image: ImageLike) -> str:
    return os.fspath(image) if isinstance(image, str | os.PathLike) else "image"
