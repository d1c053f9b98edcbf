"""The attribute-guided features of a whole test set, collected batch by batch.

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

    In half precision, the features of the very first image are subtracted before rounding: this does not change
    distances, and the rounding error then depends on how much features differ, not on how large they are. Subtracting
    the mean of the first batch would make the results depend on the batch size and the number of processes.

    Args:
        num_attributes: M.
        num_images: the maximum number of images of this process.
        half: whether to keep float16 instead of float32.
    """

    def __init__(self, num_attributes: int, num_images: int, *, half: bool) -> None:
        self.num_attributes = num_attributes
        self.num_images = num_images
        self.half = half
        self.dtype = torch.float16 if half else torch.float32
        self.count = 0
        self._features = torch.empty(0)  # filled batch by batch, so that no copy is needed at the end
        self._centre: Tensor | None = None  # (M, D)

    @property
    def centre(self) -> Tensor | None:
        """The vectors subtracted from all features, (M, D) on the CPU; None in full precision."""
        return self._centre

    def add(self, features: Tensor, names: Sequence[str]) -> None:
        """Add a batch (N, M, D).

        Raises:
            DataError: features do not fit into float16; the message names the images.
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
        """Use the first process's (M, D) in all; every process has to call this once, with None if it has no images."""
        own = None if first is None else first.to("cpu", torch.float32, copy=True)
        self._centre = comm.all_gather(own)[0]

    def gather(self) -> Tensor:
        """Return the features of all processes, in order, on the main one; every process has to call this.

        They are gathered one attribute at a time, as all of them may take gigabytes.

        Returns:
            (M, images, D); in half precision, minus the (M, D) of the first image.
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
