"""Maps with transparent parts, which a page puts over a photo that it contains once: a kilobyte instead of ten.

| letter | meaning                                 |
| ------ | --------------------------------------- |
| h, w   | height and width of a map               |
| H, W   | height and width of its layer, pixels   |
| L      | levels, at most 256                     |
"""

from __future__ import annotations

import base64
import io
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEIGHT = 64  # approximate size of a layer in pixels, which the browser enlarges


class Layer(NamedTuple):
    """A map as a layer, without its image.

    Attributes:
        levels: (H, W) uint8, indices into the palette.
        palette: colours and opacities, (L, 4) uint8.
    """

    levels: NDArray[np.uint8]
    palette: NDArray[np.uint8]

    def data_uri(self) -> str:
        """Encode as ``data:image/png;base64,...`` for the src of an <img>."""
        image = Image.fromarray(self.levels).convert("P")
        image.putpalette(self.palette[:, :3].tobytes(), "RGB")
        file = io.BytesIO()
        image.save(file, "PNG", transparency=self.palette[:, 3].tobytes(), optimize=True)
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def layer_size(values: NDArray[Any]) -> tuple[int, int]:
    """Return height and width of the layer of a map (h, w)."""
    times = max(1, round(HEIGHT / values.shape[0]))
    return values.shape[0] * times, values.shape[1] * times
