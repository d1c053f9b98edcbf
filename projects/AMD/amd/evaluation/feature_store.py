"""The attribute-guided features of a whole test set, taken in batch by batch.

| letter | meaning             |
| ------ | ------------------- |
| N      | images of a batch   |
| M      | attributes          |
| D      | size of a feature   |
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from fastreid.utils import comm
from torch import Tensor

from fastreid_projects.evaluation.distance import check_finite


class FeatureStore:
    """f^k of the images of a process, (M, images, D), and of all processes together.

    In half precision the features of the very first image are subtracted before the rounding: no distance changes, and
    the rounding error follows how far features differ, not how large they are. A mean of the first batch would make the
    results depend on the size of the batches and the number of processes.

    Args:
        num_attributes: M.
        num_images: the most images that this process may see.
        half: keep float16 instead of float32.
    """

    def __init__(self, num_attributes: int, num_images: int, *, half: bool) -> None:
        self.num_attributes = num_attributes
        self.num_images = num_images
        self.half = half
        self.dtype = torch.float16 if half else torch.float32
        self.count = 0
        self._features = torch.empty(0)  # filled batch by batch: no copy is made at the end
        self._centre: Tensor | None = None  # (M, D)

    @property
    def centre(self) -> Tensor | None:
        """What was subtracted from all features, (M, D) on the CPU; None in full precision."""
        return self._centre

    def add(self, features: Tensor, names: Sequence[str]) -> None:
        """Take a batch (N, M, D).

        Raises:
            DataError: features do not fit into float16; names the images.
        """
        n, m, d = features.shape
        if not len(self._features):
            self._features = torch.empty(m, self.num_images, d, dtype=self.dtype)
            if self.half:
                self._agree_on_centre(features[0])
        if self._centre is not None:
            features = features - self._centre.to(features.device)
        kept = features.to("cpu", self.dtype)
        check_finite(kept, names)
        self._features[:, self.count : self.count + n] = kept.transpose(0, 1)
        self.count += n

    def _agree_on_centre(self, first: Tensor | None) -> None:
        """Take the first process's (M, D) for all; every process calls it once, one without images with None."""
        own = None if first is None else first.to("cpu", torch.float32, copy=True)
        self._centre = comm.all_gather(own)[0]

    def gather(self) -> Tensor:
        """The features of all processes, in order, on the main one; every process has to call it.

        They come an attribute at a time, as all of them may be gigabytes.

        Returns:
            (M, images, D); in half precision less the (M, D) of the first image.
        """
        if comm.get_world_size() == 1:
            return self._features[:, : self.count]
        if self.half and not self.count:  # the others have done so with their first batch
            self._agree_on_centre(None)
        features = torch.empty(0)
        for k in range(self.num_attributes):
            own = self._features[k, : self.count] if self.count else torch.empty(0, dtype=self.dtype)
            parts = comm.gather(own, dst=0)
            if parts:
                rows = torch.cat(parts)
                if k == 0:
                    features = torch.empty(self.num_attributes, *rows.shape, dtype=self.dtype)
                features[k] = rows
        return features
