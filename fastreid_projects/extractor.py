"""Features of any pictures by any trained model, as its evaluation computes them.

Example::

    from fastreid_projects.extractor import Extractor

    extractor = Extractor.from_config("logs/my_run")       # or a config and its weights
    features = extractor(["anna.jpg", "bert.jpg"])          # (2, D), float32

| letter | meaning           |
| ------ | ----------------- |
| N      | pictures          |
| D      | size of a feature |
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from fastreid_projects.contract import compared_model
from fastreid_projects.data.feature_file import FeatureFile, FeatureWriter, Row
from fastreid_projects.data.images import ImageLike
from fastreid_projects.data.picture_batches import Images, load_batches, picture_row, single_pictures
from fastreid_projects.engine.load_model import model_digest, trained_config
from fastreid_projects.engine.open_model import open_model
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.evaluation.distance import check_finite
from fastreid_projects.modeling.modes import evaluating
from fastreid_projects.modeling.outputs import output_kind

Features = npt.NDArray[np.float32]


class Batch(NamedTuple):
    """Some pictures, in order.

    Attributes:
        rows: (path, person, camera) of each; "" for what is not known.
        features: (B, D).
    """

    rows: list[Row]
    features: Features


class Extractor:
    """Features of pictures.

    Pictures are paths, folders (with all below them), PIL images, arrays (H, W, 3) or (H, W) of bytes, tensors
    (3, H, W) in 0..255, RGB; one, a list, an array or tensor of many, or a generator. They are resized as the
    evaluation does, whatever their size.

    Args:
        model: (N, 3, h, w), RGB in 0..255 -> features (N, D) in evaluation.
        transform: PIL image -> (3, h, w), RGB in 0..255.
        flip: the mean of a picture's feature and of its mirror image's.
        normalize: features of unit length.
        batch_size: pictures in memory together.
        workers: processes that read pictures; threads for a generator's.
        digest: the model's :func:`.engine.load_model.model_digest`.

    Raises:
        ConfigError: the model gives classes, not features.
    """

    def __init__(
        self,
        model: nn.Module,
        transform: Any,
        *,
        flip: bool = False,
        normalize: bool = False,
        batch_size: int = 64,
        workers: int = 0,
        digest: str = "",
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"the batch size is {batch_size}; it has to be at least 1")
        _check_features(model)
        self.model = model
        self.transform = transform
        self.flip = flip
        self.normalize = normalize
        self.batch_size = batch_size
        self.workers = workers
        self.digest = digest

    @classmethod
    def from_config(
        cls,
        config: str,
        weights: str = "",
        opts: Sequence[str] = (),
        *,
        normalize: bool | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
    ) -> Extractor:
        """Build from a config and its weights, or from a run's folder alone.

        Of an interpreter (AMD) it is the target that gives the features.

        Args:
            config: see :func:`.engine.load_model.trained_config`.
            weights: likewise.
            opts: ``KEY VALUE`` pairs, TEST.FLIP.ENABLED among them.
            normalize: by default where ``TEST.METRIC`` is cosine.
            batch_size: ``TEST.IMS_PER_BATCH`` by default.
            workers: ``DATALOADER.NUM_WORKERS`` by default.

        Raises:
            ConfigError: the config cannot be used, or its model gives no features.
            WeightsError: the weights are missing or belong to another model.
        """
        cfg = trained_config(config, weights, opts)
        return cls.of(cfg, normalize=normalize, batch_size=batch_size, workers=workers)

    @classmethod
    def of(
        cls,
        cfg: Any,
        *,
        normalize: bool | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
    ) -> Extractor:
        """Build from what :func:`.engine.load_model.trained_config` returned; see :meth:`from_config`."""
        opened = open_model(cfg, "features need")
        model = compared_model(opened.model)
        return cls(
            model.eval(),
            opened.transform,
            flip=cfg.TEST.FLIP.ENABLED,
            normalize=cfg.TEST.METRIC == "cosine" if normalize is None else normalize,
            batch_size=cfg.TEST.IMS_PER_BATCH if batch_size is None else batch_size,
            workers=cfg.DATALOADER.NUM_WORKERS if workers is None else workers,
            digest=model_digest(model, cfg),
        )

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return next(self.model.parameters()).device

    def __call__(self, images: Images, *, progress: bool = False) -> Features:
        """Return the features of pictures, (N, D) float32; ``progress`` shows a bar on a terminal.

        Raises:
            DataError: there are no pictures, one cannot be read, or the features are not finite.
        """
        found = [batch.features for batch in self.batches(images, progress=progress)]
        if not found:
            raise DataError("there are no pictures to extract features of")
        return np.concatenate(found)

    def extract(
        self, images: Images, output: str | os.PathLike[str], *, progress: bool = True
    ) -> FeatureFile:
        """Write features to a file, for more of them than the memory holds.

        If an interrupted process of the same model and the same pictures has left a part, it continues from there;
        pictures that lie in no file start anew.

        Args:
            images: see the class.
            output: ``x.npy``; ``x.csv`` with the pictures' names and ``x.json`` come beside it.
            progress: show a bar on a terminal.

        Returns:
            The features, memory-mapped, with their names.

        Raises:
            DataError: as of calling this, or the file cannot be written.
        """
        facts = {"model": self.digest, "normalized": self.normalize, "flip": self.flip}
        writer = FeatureWriter(output, facts)
        items = _rest(writer, single_pictures(images))
        try:
            for batch in self.batches(items, progress=progress, done=len(writer.rows)):
                writer.append(batch.rows, batch.features)
            return writer.finish()
        finally:
            writer.close()

    def batches(self, images: Images, *, progress: bool = False, done: int = 0) -> Iterator[Batch]:
        """Yield the features batch by batch.

        Args:
            images: see the class.
            progress: show a bar on a terminal.
            done: pictures that the bar counts as finished before.

        Raises:
            DataError: as of calling this.
        """
        items = single_pictures(images)
        total = len(items) + done if isinstance(items, list) else None
        loaded = load_batches(
            items, self.transform, batch_size=self.batch_size, workers=self.workers, device=self.device
        )
        with tqdm(
            total=total, initial=done, desc="features", unit="image", disable=None if progress else True
        ) as bar:
            for part, images_of_part in loaded:
                features = self._features(images_of_part)
                check_finite(features, [row[0] or "a picture" for row in part])
                yield Batch(part, features.numpy())
                bar.update(len(part))

    @torch.no_grad()
    def _features(self, images: Tensor) -> Tensor:
        """Return features (B, D) of images (B, 3, h, w), on the CPU."""
        images = images.to(self.device, non_blocking=True)
        mirrored = images.flip(3) if self.flip else None  # before a model normalises its input in place
        with evaluating(self.model):
            features = self._checked(self.model(images))
            if mirrored is not None:
                features = (features + self._checked(self.model(mirrored))) / 2
        features = features.float()
        return (F.normalize(features, dim=1) if self.normalize else features).cpu()

    def _checked(self, output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.dim() != 2:
            found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ConfigError(
                f"{type(self.model).__name__} returns {found} at evaluation, not one feature for each picture, (N, D): "
                "name the config of a model that ranks by one feature"
            )
        return output


def _check_features(model: nn.Module) -> None:
    kind = output_kind(model)
    if kind != "features":
        raise ConfigError(
            f"{type(model).__name__} classifies pictures: it returns {kind}, not features that can be compared; name "
            "the config of a re-identification model"
        )


def _rest(
    writer: FeatureWriter, items: list[ImageLike] | Iterator[ImageLike]
) -> list[ImageLike] | Iterator[ImageLike]:
    """What is still to do of the pictures: all of them unless the first ones are those that are written."""
    count = len(writer.rows)
    if isinstance(items, list):
        if _are_written(writer, items[:count]):
            return items[count:]
        writer.start_anew()
        return items
    first = list(itertools.islice(items, count))
    if _are_written(writer, first):
        return items
    writer.start_anew()
    return itertools.chain(first, items)


def _are_written(writer: FeatureWriter, items: list[ImageLike]) -> bool:
    """Return whether the written features are those of these pictures, none of which has changed since."""
    if [picture_row(item) for item in items] != writer.rows:
        return False
    paths = [row[0] for row in writer.rows]
    return all(os.path.isfile(path) and os.path.getmtime(path) <= writer.written_at for path in paths)
