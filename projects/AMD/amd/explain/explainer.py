"""Explainers: one with an interpreter, and one for any model without attributes.

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

import torch
import torch.nn.functional as F
from fastreid.data.transforms import build_transforms
from torch import Tensor

from fastreid_projects.data.images import ImageLike
from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.modes import evaluating
from fastreid_projects.visualization.contributions.distance import DistanceExplainer, image_branches
from fastreid_projects.visualization.contributions.maps import BranchView

from ..meta_arch import AMD
from ..targets import TargetOutput, branch_attention
from .calibration_file import calibrate
from .explanation import MapKind
from .pairs import NO_ATTRIBUTES, Encoded, Look, PairExplainer


class _Pass(NamedTuple):
    """One pass over N images: its outputs, and the factors (N,) by which the features were scaled."""

    output: TargetOutput
    embeddings: Tensor
    features: Tensor
    attention: Tensor
    scale: Tensor


class Explainer(PairExplainer):
    """Explain the distances of a trained :class:`~fastreid_projects.amd.meta_arch.AMD`.

    Args:
        model: the trained interpreter.
        transform: the host's test transform: PIL image -> float tensor (3, H, W) of 0..255.
        flip: whether to average the features and attention of an image and its mirror image, as ``TEST.FLIP`` does.
        cosine: whether to divide an image's features by the norm of its full feature, so that distances rank as with
            ``TEST.METRIC cosine``.
        maps: what the maps of an attribute show.
    """

    def __init__(
        self,
        model: AMD,
        transform: Any,
        *,
        flip: bool = False,
        cosine: bool = False,
        maps: MapKind = "contributions",
    ) -> None:
        super().__init__(transform, model.attribute_set, maps)
        self.model = model
        self.flip = flip
        self.cosine = cosine

    @classmethod
    def from_config(
        cls, config: str, weights: str, opts: Sequence[str] = (), *, maps: MapKind = "contributions"
    ) -> Explainer:
        """Build the explainer from the interpreter's config (or its run's config.yaml), its checkpoint and overrides.

        If an evaluation left a calibration of these weights beside the checkpoint, it is used.

        Raises:
            WeightsError: the checkpoint is missing, does not hold an interpreter, or does not match the config.
            ConfigError: the config is not an interpreter's; :func:`build_explainer` takes any model.
        """
        cfg = explained_config(config, weights, opts)
        explainer = build_explainer(cfg, maps)
        if not isinstance(explainer, cls):
            raise ConfigError(
                f"{config} is not the config of an interpreter: name a yaml whose MODEL.META_ARCHITECTURE is AMD"
            )
        calibrate(explainer, cfg, config, [Path(weights).parent])
        return explainer

    @property
    def mean_colour(self) -> Tensor:
        """The colour that the target's normalisation maps to 0: RGB in 0..255, (3,), on the CPU."""
        mean: Tensor = self.model.target.model.pixel_mean
        return mean.flatten().cpu()

    @torch.no_grad()
    def encode(self, images: Sequence[ImageLike] | Tensor, *, looks: bool = False) -> Encoded:
        """Return the outputs of target and interpreter for N images.

        Args:
            images: N images, or the tensor that :meth:`load` made of them.
            looks: whether to keep also what the features come from: the maps of all images.
        """
        batch = images if isinstance(images, Tensor) else self.load(images)
        passes = [self._pass(view) for view in ([batch, batch.flip(3)] if self.flip else [batch])]
        embeddings = torch.stack([p.embeddings for p in passes]).mean(dim=0)
        features = torch.stack([p.features for p in passes]).mean(dim=0)
        straight = [p.attention if i == 0 else p.attention.flip(3) for i, p in enumerate(passes)]
        norms = torch.ones_like(embeddings[:, 0])
        if self.cosine:
            norms = embeddings.norm(dim=1).clamp(min=1e-12)
            features = features / norms[:, None, None]
            embeddings = F.normalize(embeddings, dim=1)
        attention = torch.stack(straight).mean(dim=0)
        found = [self._look(passes, norms, i) for i in range(len(batch))] if looks else []
        return Encoded(embeddings.cpu(), features.cpu(), attention.cpu(), found)

    def _pass(self, batch: Tensor) -> _Pass:
        model = self.model
        with evaluating(model):  # the model may be in training mode
            output, attention = model.attend(model.preprocess_image(batch))
            return _Pass(
                output,
                model.embedding(output),
                model.attribute_features(output, attention),
                attention.float(),
                1 / model.feature_norms(output),
            )

    def _look(self, passes: Sequence[_Pass], norms: Tensor, i: int) -> Look:
        """Return what the features of the i-th image come from."""
        whole, attributes = [], []
        for number, found in enumerate(passes):
            branches = image_branches(found.output.branches, i)
            scale = float(found.scale[i] / norms[i]) / len(passes)
            view = BranchView(branches, None, self.model.neck, scale, number == 1)
            whole.append(view)
            attributes.append(view._replace(attention=branch_attention(branches, found.attention[i : i + 1])))
        return Look(whole, attributes)

    @torch.no_grad()
    def embed(self, images: Sequence[ImageLike] | Tensor) -> Tensor:
        """Return the target's features alone, (N, D) on the CPU."""
        batch = images if isinstance(images, Tensor) else self.load(images)
        views = [batch, batch.flip(3)] if self.flip else [batch]
        with evaluating(self.model):
            found = [
                self.model.embedding(self.model.target(self.model.preprocess_image(view))) for view in views
            ]
        feature = torch.stack(found).mean(dim=0)
        return (F.normalize(feature, dim=1) if self.cosine else feature).cpu()


class PlainExplainer(PairExplainer):
    """Explain where the distances of any model that returns features come from, without attributes.

    Args:
        model: maps images (N, 3, H, W) in 0..255 to features (N, D) in evaluation.
        transform: the host's test transform.
        flip: see :class:`Explainer`.
        cosine: see :class:`Explainer`.
    """

    def __init__(self, model: Any, transform: Any, *, flip: bool = False, cosine: bool = False) -> None:
        super().__init__(transform, NO_ATTRIBUTES)
        self.distance = DistanceExplainer(model, flip=flip, cosine=cosine)

    def encode(self, images: Sequence[ImageLike] | Tensor, *, looks: bool = False) -> Encoded:
        """Return the model's outputs, see :meth:`PairExplainer.encode`; there are no attributes."""
        batch = images if isinstance(images, Tensor) else self.load(images)
        seen = self.distance.see(batch)
        none = torch.empty(len(seen), 0, 1, 1)
        embeddings = torch.stack([image.embedding for image in seen]).cpu()
        return Encoded(embeddings, none[..., 0], none, [Look(image.views) for image in seen])

    def embed(self, images: Sequence[ImageLike] | Tensor) -> Tensor:
        """Return the model's features, (N, D) on the CPU."""
        return self.distance.embed(images if isinstance(images, Tensor) else self.load(images)).cpu()


def explained_config(config: str, weights: str, opts: Sequence[str] = ()) -> Any:
    """Return the config of the model to explain, with its weights and an available device."""
    from fastreid_projects.config import load_config
    from fastreid_projects.config.ready import ready
    from fastreid_projects.engine.stages import build_stages

    from ..saved_weights import check_explainable

    cfg = build_stages(load_config(config, [*opts, "MODEL.WEIGHTS", str(weights)]))[-1].cfg.clone()
    cfg.defrost()
    cfg = ready(cfg)
    if cfg.MODEL.META_ARCHITECTURE == "AMD":
        check_explainable(cfg)
    return cfg


def build_explainer(cfg: Any, maps: MapKind = "contributions") -> Explainer | PlainExplainer:
    """Return the explainer of an interpreter, or of any other model without attributes.

    Args:
        cfg: a config from :func:`explained_config`.
        maps: what the maps of an attribute show.

    Raises:
        WeightsError: the weights are missing, or do not match the config.
        ConfigError: the model does not return features.
    """
    from fastreid_projects.engine.load_model import load_trained

    model: Any = load_trained(cfg)
    transform = build_transforms(cfg, is_train=False)
    flip, cosine = cfg.TEST.FLIP.ENABLED, cfg.TEST.METRIC == "cosine"
    if isinstance(model, AMD):
        return Explainer(model, transform, flip=flip, cosine=cosine, maps=maps)
    return PlainExplainer(model, transform, flip=flip, cosine=cosine)
