"""Explanations by an interpreter, and by any model alone: what each makes of images.

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
    """One pass over N images: what came of it, and by which factors (N,) their features were scaled."""

    output: TargetOutput
    embeddings: Tensor
    features: Tensor
    attention: Tensor
    scale: Tensor


class Explainer(PairExplainer):
    """Explains distances of a trained :class:`~fastreid_projects.amd.meta_arch.AMD`.

    Args:
        model: the trained interpreter.
        transform: the host's test transform: PIL image -> float tensor (3, H, W) of 0..255.
        flip: average the features of an image and of its mirror image, as ``TEST.FLIP`` does; of attention likewise.
        cosine: divide all features of an image by the norm of its full one, so that distances rank as
            ``TEST.METRIC cosine``.
        maps: what is shown of an attribute.
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
        """Build from the interpreter's yaml (or its run's config.yaml), its checkpoint, and more ``KEY VALUE``.

        The calibration that an evaluation has left beside the checkpoint is taken, if it is of these weights.

        Raises:
            WeightsError: the checkpoint is missing, no interpreter's, or not that of the config.
            ConfigError: the config is another model's; :func:`build_explainer` takes any.
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
        """The colour that the target's normalisation takes to 0, (3,) of 0..255 RGB, on the CPU."""
        mean: Tensor = self.model.target.model.pixel_mean
        return mean.flatten().cpu()

    @torch.no_grad()
    def encode(self, images: Sequence[ImageLike] | Tensor, *, looks: bool = False) -> Encoded:
        """What target and interpreter make of N images, or of what :meth:`load` made of them.

        Args:
            images: N of them.
            looks: keep what the features come from, too: the maps of all images.
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
        with evaluating(model):  # the model may be in the middle of its training
            output, attention = model.attend(model.preprocess_image(batch))
            return _Pass(
                output,
                model.embedding(output),
                model.attribute_features(output, attention),
                attention.float(),
                1 / model.feature_norms(output),
            )

    def _look(self, passes: Sequence[_Pass], norms: Tensor, i: int) -> Look:
        """What the features of the i-th image come from."""
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
        """The target's features alone, (N, D) on the CPU."""
        batch = images if isinstance(images, Tensor) else self.load(images)
        views = [batch, batch.flip(3)] if self.flip else [batch]
        with evaluating(self.model):
            found = [
                self.model.embedding(self.model.target(self.model.preprocess_image(view))) for view in views
            ]
        feature = torch.stack(found).mean(dim=0)
        return (F.normalize(feature, dim=1) if self.cosine else feature).cpu()


class PlainExplainer(PairExplainer):
    """Explains distances of any model that returns features: where they come from, without attributes.

    Args:
        model: images (N, 3, H, W) of 0..255 -> features (N, D) in evaluation.
        transform: the host's test transform.
        flip: as ``TEST.FLIP``.
        cosine: as ``TEST.METRIC cosine``.
    """

    def __init__(self, model: Any, transform: Any, *, flip: bool = False, cosine: bool = False) -> None:
        super().__init__(transform, NO_ATTRIBUTES)
        self.distance = DistanceExplainer(model, flip=flip, cosine=cosine)

    def encode(self, images: Sequence[ImageLike] | Tensor, *, looks: bool = False) -> Encoded:
        """See :meth:`PairExplainer.encode`; there are no attributes."""
        batch = images if isinstance(images, Tensor) else self.load(images)
        seen = self.distance.see(batch)
        none = torch.empty(len(seen), 0, 1, 1)
        embeddings = torch.stack([image.embedding for image in seen]).cpu()
        return Encoded(embeddings, none[..., 0], none, [Look(image.views) for image in seen])

    def embed(self, images: Sequence[ImageLike] | Tensor) -> Tensor:
        """The model's features, (N, D) on the CPU."""
        return self.distance.embed(images if isinstance(images, Tensor) else self.load(images)).cpu()


def explained_config(config: str, weights: str, opts: Sequence[str] = ()) -> Any:
    """The config of the model to explain with its weights and a device that is there; see :func:`build_explainer`."""
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
    """The explainer of an interpreter, or of any other model without attributes.

    Args:
        cfg: of :func:`explained_config`.
        maps: what is shown of an attribute.

    Raises:
        WeightsError: the weights are missing, or not those of the config.
        ConfigError: the model returns no features.
    """
    from fastreid_projects.engine.load_model import load_trained

    model: Any = load_trained(cfg)
    transform = build_transforms(cfg, is_train=False)
    flip, cosine = cfg.TEST.FLIP.ENABLED, cfg.TEST.METRIC == "cosine"
    if isinstance(model, AMD):
        return Explainer(model, transform, flip=flip, cosine=cosine, maps=maps)
    return PlainExplainer(model, transform, flip=flip, cosine=cosine)
