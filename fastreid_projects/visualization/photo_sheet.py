"""The photos of a page: each is embedded once, however often the page shows it, and needs no script.

| letter | meaning                                 |
| ------ | --------------------------------------- |
| H, W   | height and width of an image, in pixels |

A photo is the background of its own CSS class, so that an ``<img>`` with a partly transparent map can be put over it.
"""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
from markupsafe import Markup

from fastreid_projects.visualization.heatmap import Image, grey_data_uri, photo_data_uri
from fastreid_projects.visualization.signed import grey_photo

HEIGHT = 256  # maximum height of an embedded photo, in pixels


class PhotoSheet:
    """Collect the photos of a page as rules of its style sheet.

    Args:
        height: maximum height of an embedded photo, in pixels.
    """

    def __init__(self, height: int = HEIGHT) -> None:
        self.height = height
        self._classes: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._rules: list[str] = []

    def colour(self, image: Image) -> str:
        """Return the class that shows a photo, RGB uint8 (H, W, 3)."""
        return self._class_of("colour", image)

    def grey(self, image: Image) -> str:
        """Return the class that shows a photo in the greys below signed maps."""
        return self._class_of("grey", image)

    @property
    def style(self) -> Markup:
        """The rules of all photos so far, for a ``<style>``."""
        return Markup("\n".join(self._rules))

    def _class_of(self, kind: str, image: Image) -> str:
        key = (kind, image.shape, hashlib.sha256(image.tobytes()).digest())
        if key not in self._classes:
            shown = self._shrunk(image)
            uri = grey_data_uri(grey_photo(shown)) if kind == "grey" else photo_data_uri(shown)
            self._classes[key] = f"photo-{len(self._rules)}"
            height, width = image.shape[:2]
            self._rules.append(
                f".{self._classes[key]}{{aspect-ratio:{width}/{height};background-image:url({uri})}}"
            )
        return self._classes[key]

    def _shrunk(self, image: Image) -> Image:
        height, width = image.shape[:2]
        if height <= self.height:
            return image
        size = (max(1, round(width * self.height / height)), self.height)
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
