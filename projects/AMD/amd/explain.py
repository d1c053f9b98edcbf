"""Explanations of pairs: how far apart the target puts two images, which attributes make it up, and where.

| letter | meaning              |
| ------ | -------------------- |
| M      | number of attributes |
| h, w   | size of attention    |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastreid.data.transforms import build_transforms
from fastreid.evaluation.evaluator import inference_context
from PIL import Image
from torch import Tensor

from fastreid_projects.amd.meta_arch import AMD
from fastreid_projects.data.attributes import UNKNOWN
from fastreid_projects.host.images import read_image
from fastreid_projects.visualization.report import AttributeContribution, PairExplanation

ImageLike = str | Path | Image.Image | np.ndarray


class Explainer:
    """Explains distances of a trained :class:`~fastreid_projects.amd.meta_arch.AMD`.

    Args:
        model: the trained interpreter.
        transform: the host's test transform: PIL image -> float tensor (3, H, W) of 0..255.
    """

    def __init__(self, model: AMD, transform: Any) -> None:
        self.model = model
        self.transform = transform

    @classmethod
    def from_config(cls, config: str, weights: str) -> Explainer:
        """Build from the interpreter's yaml (or its run's config.yaml) and its checkpoint."""
        from fastreid.modeling.meta_arch import build_model
        from fastreid.utils.checkpoint import Checkpointer

        from fastreid_projects.config import load_config
        from fastreid_projects.host.device import resolve_device

        cfg = resolve_device(load_config(config, ["MODEL.WEIGHTS", weights]))
        model = build_model(cfg)
        Checkpointer(model).load(weights)
        return cls(model, build_transforms(cfg, is_train=False))

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
        """Explain one pair.

        Args:
            query: a path, a PIL image, or an RGB array (H, W, 3) of 0..255.
            gallery: likewise.
            query_attributes: the M known labels (0, 1, or -1 unknown), for the words; None if they are not known.
            gallery_attributes: likewise.
            same_identity: whether both show the same person, if it is known.
            caption: a sentence above the pair.

        Returns:
            Distance, contributions of all M attributes in words, and their attention maps.
        """
        images = [_to_pil(query), _to_pil(gallery)]
        distance, parts, attention = self.decompose(images)
        unknown = [UNKNOWN] * len(self.model.attribute_set)
        labels = (query_attributes or unknown, gallery_attributes or unknown)
        contributions = [
            AttributeContribution(
                name=attribute.name,
                phrase=attribute.describe_pair(int(labels[0][k]), int(labels[1][k])),
                value=float(parts[k]),
                exclusive=None
                if UNKNOWN in (labels[0][k], labels[1][k])
                else bool(labels[0][k] != labels[1][k]),
                query_map=attention[0, k].numpy(),
                gallery_map=attention[1, k].numpy(),
            )
            for k, attribute in enumerate(self.model.attribute_set.attributes)
        ]
        return PairExplanation(
            query_image=np.asarray(images[0]),
            gallery_image=np.asarray(images[1]),
            query_name=_name(query),
            gallery_name=_name(gallery),
            same_identity=same_identity,
            distance=float(distance),
            contributions=contributions,
            caption=caption,
        )

    @torch.no_grad()
    def decompose(self, images: Sequence[Image.Image]) -> tuple[Tensor, Tensor, Tensor]:
        """Two images -> d (scalar), d^k (M,), attention (2, M, h, w), all on the CPU."""
        batch = torch.stack([self.transform(image) for image in images])
        with inference_context(self.model):  # the model may be in the middle of its training
            output, attention = self.model.attend(self.model.preprocess_image(batch))
            embedding = self.model.embedding(output)
            features = self.model.attribute_features(output, attention)
        distance = (embedding[0] - embedding[1]).norm()
        parts = (features[0] - features[1]).norm(dim=1)
        return distance.cpu(), parts.cpu(), attention.float().cpu()


def _to_pil(image: ImageLike) -> Image.Image:
    if isinstance(image, (str, Path)):
        return read_image(str(image), format="RGB")
    if isinstance(image, np.ndarray):
        return Image.fromarray(image).convert("RGB")
    return image.convert("RGB")


def _name(image: ImageLike) -> str:
    return Path(image).name if isinstance(image, (str, Path)) else "image"
