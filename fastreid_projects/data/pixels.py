"""The pixels of a file, for training: as ``read_image`` gives them, but faster.

OpenCV decodes an ordinary JPEG in two thirds of PIL's time, to the same pixels. All other files are PIL's, and so is
what is said of a broken one.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from fastreid_projects.data.images import read_image

# A JPEG decoded at a reduced size is still so many times as high and wide as it is made afterwards: then it differs
# from one that is decoded whole by less than the file differs from the picture (38 dB and more).
_LEFT_TO_RESIZE = 2
_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_START, _END = b"\xff\xd8", b"\xff\xd9"
_FRAMES = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended and progressive
_TURNED = 0xE1  # EXIF, XMP


class _Frame(NamedTuple):
    height: int
    width: int
    components: int


def read_pixels(path: str, least: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """Read an image as RGB, upright by its EXIF tag.

    Args:
        path: of the image.
        least: (height, width) that it is made afterwards: a JPEG that is several times as large is decoded at a half,
            a quarter or an eighth of its size, which is still twice this.

    Returns:
        uint8 (height, width, 3).

    Raises:
        DataError: the file is missing, cut off or no image.
    """
    pixels = _ordinary_jpeg(path, least)
    return np.array(read_image(path)) if pixels is None else pixels


def _ordinary_jpeg(path: str, least: tuple[int, int] | None) -> npt.NDArray[np.uint8] | None:
    """Decode a whole JPEG in colour that nothing turns; None where the file is another."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return None
    frame = _frame(data) if data.startswith(_START) and data.endswith(_END) else None
    if frame is None or frame.components != 3:
        return None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _REDUCED[_scale(frame, least)])
    return None if pixels is None else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)  # type: ignore[return-value]


def _frame(data: bytes) -> _Frame | None:
    """Read the head of a JPEG up to its size; None where it may be turned, or is of a rare kind."""
    place = len(_START)
    while place + 10 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
        if marker in _FRAMES:
            height, width = (int.from_bytes(data[place + at : place + at + 2]) for at in (5, 7))
            return _Frame(height, width, data[place + 9])
        if marker == _TURNED or length < 2:
            return None
        place += 2 + length
    return None


def _scale(frame: _Frame, least: tuple[int, int] | None) -> int:
    """By what a JPEG is divided while it is decoded."""
    if least is None:
        return 1
    times = min(frame.height // least[0], frame.width // least[1]) // _LEFT_TO_RESIZE
    return max(scale for scale in _REDUCED if scale == 1 or scale <= times)
