"""Explanations of pairs: how far apart the target puts two images, which attributes make it up, and where.

| letter | meaning              |
| ------ | -------------------- |
| M      | number of attributes |
| D      | size of a feature    |
| h, w   | size of attention    |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from fastreid.data.transforms import build_transforms
from PIL import Image
from torch import Tensor

from fastreid_projects.data.attributes import UNKNOWN
from fastreid_projects.data.images import read_image, to_rgb
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.modeling.modes import evaluating
from fastreid_projects.visualization.heatmap import check_image

from ..meta_arch import AMD
from .explanation import AttributeContribution, PairExplanation

ImageLike = str | Path | Image.Image | np.ndarray
# A contribution below this share of the features' norms is rounding error: the model sees no difference.
_ROUNDING = 1e-5


class Encoded(NamedTuple):
    """N images as the models see them, on the CPU.

    Attributes:
        embeddings: the target's features, (N, D).
        features: f^k, (N, M, D).
        attention: A, (N, M, h, w).
    """

    embeddings: Tensor
    features: Tensor
    attention: Tensor


class Pair(NamedTuple):
    """Two images, and what is known of them.

    Attributes:
        query: a path, a PIL image, or an RGB array (H, W, 3) of 0..255.
        gallery: likewise.
        query_attributes: the M known labels (0, 1, or -1 unknown), for the words; None if they are not known.
        gallery_attributes: likewise.
        same_identity: whether both show the same person, if it is known.
        caption: a sentence above the pair.
    """

    query: ImageLike
    gallery: ImageLike
    query_attributes: Sequence[int] | None = None
    gallery_attributes: Sequence[int] | None = None
    same_identity: bool | None = None
    caption: str = ""


class Explainer:
    """Explains distances of a trained :class:`~fastreid_projects.amd.meta_arch.AMD`.

    Args:
        model: the trained interpreter.
        transform: the host's test transform: PIL image -> float tensor (3, H, W) of 0..255.
        flip: average the features of an image and of its mirror image, as ``TEST.FLIP`` does; of attention likewise.
        cosine: divide all features of an image by the norm of its full one, so that distances rank as
            ``TEST.METRIC cosine``.
    """

    def __init__(self, model: AMD, transform: Any, *, flip: bool = False, cosine: bool = False) -> None:
        self.model = model
        self.transform = transform
        self.flip = flip
        self.cosine = cosine

    @classmethod
    def from_config(cls, config: str, weights: str, opts: Sequence[str] = ()) -> Explainer:
        """Build from the interpreter's yaml (or its run's config.yaml), its checkpoint, and more ``KEY VALUE``.

        Raises:
            WeightsError: the checkpoint is missing, no interpreter's, or not that of the config.
        """
        from fastreid_projects.engine.load_model import load_trained

        cfg = explained_config(config, weights, opts)
        model = load_trained(cfg)
        if not isinstance(model, AMD):
            raise ConfigError(
                f"{config} is the config of a {type(model).__name__}, not of an interpreter: name a yaml whose "
                "MODEL.META_ARCHITECTURE is AMD"
            )
        return cls(
            model,
            build_transforms(cfg, is_train=False),
            flip=cfg.TEST.FLIP.ENABLED,
            cosine=cfg.TEST.METRIC == "cosine",
        )

    @property
    def mean_colour(self) -> Tensor:
        """The colour that the target's normalisation takes to 0, (3,) of 0..255 RGB, on the CPU."""
        mean: Tensor = self.model.target.model.pixel_mean
        return mean.flatten().cpu()

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
            Distance, contributions of all M attributes in words, and their attention maps.

        Raises:
            DataError: an image cannot be read; names it.
        """
        pair = Pair(query, gallery, query_attributes, gallery_attributes, same_identity, caption)
        return self.explain_pairs([pair])[0]

    def explain_pairs(
        self, pairs: Sequence[Pair | tuple[ImageLike, ImageLike]], batch_size: int = 32
    ) -> list[PairExplanation]:
        """Explain many pairs; an image that is in several of them is looked at once.

        Args:
            pairs: pairs, with or without what is known of them.
            batch_size: images at a time.

        Raises:
            DataError: an image cannot be read; names it.
        """
        full = [pair if isinstance(pair, Pair) else Pair(*pair) for pair in pairs]
        images: dict[Any, Image.Image] = {}
        for image in (image for pair in full for image in (pair.query, pair.gallery)):
            if _key(image) not in images:
                images[_key(image)] = to_pil(image)
        keys = list(images)
        encoded: dict[Any, Encoded] = {}
        for start in range(0, len(keys), batch_size):
            part = keys[start : start + batch_size]
            batch = self.encode([images[key] for key in part])
            encoded |= {key: Encoded(*(x[i] for x in batch)) for i, key in enumerate(part)}
        return [
            self._describe(
                pair, *((images[key], encoded[key]) for key in (_key(pair.query), _key(pair.gallery)))
            )
            for pair in full
        ]

    def _describe(
        self, pair: Pair, query: tuple[Image.Image, Encoded], gallery: tuple[Image.Image, Encoded]
    ) -> PairExplanation:
        a, b = query[1], gallery[1]
        parts = (a.features - b.features).norm(dim=1)
        equal = (parts <= _ROUNDING * (a.features.norm(dim=1) + b.features.norm(dim=1))).tolist()
        count = len(self.model.attribute_set)
        known = [
            _labels(labels, count, what)
            for labels, what in ((pair.query_attributes, "query"), (pair.gallery_attributes, "gallery"))
        ]
        contributions = [
            AttributeContribution(
                name=attribute.name,
                phrase=attribute.describe_pair(known[0][k], known[1][k], alike=equal[k]),
                value=float(parts[k]),
                exclusive=None if UNKNOWN in (known[0][k], known[1][k]) else known[0][k] != known[1][k],
                query_map=a.attention[k].numpy(),
                gallery_map=b.attention[k].numpy(),
            )
            for k, attribute in enumerate(self.model.attribute_set.attributes)
        ]
        return PairExplanation(
            query_image=np.asarray(query[0]),
            gallery_image=np.asarray(gallery[0]),
            query_name=_name(pair.query),
            gallery_name=_name(pair.gallery),
            same_identity=pair.same_identity,
            distance=float((a.embeddings - b.embeddings).norm()),
            contributions=contributions,
            caption=pair.caption,
        )

    def load(self, images: Sequence[ImageLike]) -> Tensor:
        """Images as the model takes them: (N, 3, H, W) of 0..255, RGB.

        Raises:
            DataError: one is no image; names it.
        """
        return torch.stack([self.transform(to_pil(image)) for image in images])

    @torch.no_grad()
    def encode(self, images: Sequence[ImageLike] | Tensor) -> Encoded:
        """What target and interpreter make of N images, or of what :meth:`load` made of them."""
        batch = images if isinstance(images, Tensor) else self.load(images)
        embeddings, features, attention = self._look(batch)
        if self.flip:
            mirrored = self._look(batch.flip(3))
            embeddings, features = (embeddings + mirrored[0]) / 2, (features + mirrored[1]) / 2
            attention = (attention + mirrored[2].flip(3)) / 2
        if self.cosine:
            features = features / embeddings.norm(dim=1).clamp(min=1e-12)[:, None, None]
            embeddings = F.normalize(embeddings, dim=1)
        return Encoded(embeddings.cpu(), features.cpu(), attention.cpu())

    def _look(self, batch: Tensor) -> Encoded:
        with evaluating(self.model):  # the model may be in the middle of its training
            output, attention = self.model.attend(self.model.preprocess_image(batch))
            return Encoded(
                self.model.embedding(output),
                self.model.attribute_features(output, attention),
                attention.float(),
            )

    @torch.no_grad()
    def embed(self, images: Sequence[ImageLike] | Tensor) -> Tensor:
        """The target's features alone, (N, D) on the CPU."""
        batch = images if isinstance(images, Tensor) else self.load(images)
        views = [batch, batch.flip(3)] if self.flip else [batch]
        with evaluating(self.model):
            found = [
                self.model.embedding(self.model.target(self.model.preprocess_image(view))) for view in views
            ]
        feature = torch.stack(found).mean(dim=0)
        return (F.normalize(feature, dim=1) if self.cosine else feature).cpu()


def explained_config(config: str, weights: str, opts: Sequence[str] = ()) -> Any:
    """The interpreter's config with its weights and a device that is there; see :meth:`Explainer.from_config`."""
    from fastreid_projects.config import load_config
    from fastreid_projects.config.ready import ready
    from fastreid_projects.engine.stages import build_stages

    from ..saved_weights import check_explainable

    cfg = build_stages(load_config(config, [*opts, "MODEL.WEIGHTS", str(weights)]))[-1].cfg.clone()
    cfg.defrost()
    cfg = ready(cfg)
    check_explainable(cfg)
    return cfg


def to_pil(image: ImageLike) -> Image.Image:
    """An RGB picture of a path, a picture or an RGB array (H, W, 3) of 0..255.

    Raises:
        DataError: it is none; names the file.
    """
    if isinstance(image, (str, Path)):
        return read_image(str(image), format="RGB")
    if isinstance(image, np.ndarray):
        return Image.fromarray(check_image(image, "an image to explain"))
    if not isinstance(image, Image.Image):
        raise DataError(
            f"an image to explain is a path, a PIL image or an RGB array, not {type(image).__name__}; open other "
            "things with PIL.Image.open or turn them into an array (H, W, 3) of uint8"
        )
    try:
        return to_rgb(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"a PIL image to explain cannot be read: {error}") from error


def _labels(values: Sequence[int] | None, count: int, what: str) -> tuple[int, ...]:
    """M labels of 0, 1 or -1; all unknown for None."""
    if values is None:
        return (UNKNOWN,) * count
    labels = tuple(int(value) for value in values)
    strange = next((label for label in labels if label not in (UNKNOWN, 0, 1)), None)
    if len(labels) != count or strange is not None:
        wrong = f"{len(labels)} values" if strange is None else f"the value {strange}"
        raise DataError(
            f"the attributes of the {what} have {wrong}; they have to be {count} of 0, 1 or {UNKNOWN} (unknown)"
        )
    return labels


def _key(image: ImageLike) -> Any:
    return str(image) if isinstance(image, (str, Path)) else id(image)


def _name(image: ImageLike) -> str:
    return Path(image).name if isinstance(image, (str, Path)) else "image"
