"""Body parts from BlazePose (Bazarevsky et al. 2020): landmarks and a person mask, run with ai-edge-litert.

The models are files that the user names: pose_landmark_full.tflite, and pose_detection.tflite before it. Without the
detector, the landmark model gets the whole image and tends to invent a head if the crop has none.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np

from fastreid_projects.errors import ConfigError, WeightsError

from .base import Found
from .skeleton import paint_parts

# COCO's joints among BlazePose's 33 landmarks: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
_AS_COCO = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
_SIZE = 256
_DETECTOR_SIZE, _ANCHORS = 224, 2254
_LEAST = 0.5
_MARGIN = 1.25
# The detector looks for a person in a scene: it finds half of the pedestrians in plain crops, and 85 % if the crop
# fills half of its input and its border is repeated around it (104 crops of the MARS-derived subset).
_CONTEXT = 2.0


class _Kind(NamedTuple):
    """One of the two models: its option, its file, the shape of its input, and shapes among those of its outputs."""

    option: str
    file: str
    takes: tuple[int, ...]
    gives: set[tuple[int, ...]]


_LANDMARKS = _Kind(
    "--model",
    "pose_landmark_full.tflite",
    (1, _SIZE, _SIZE, 3),
    {(1, 195), (1, 1), (1, _SIZE, _SIZE, 1)},
)
_DETECTOR = _Kind(
    "--detector",
    "pose_detection.tflite",
    (1, _DETECTOR_SIZE, _DETECTOR_SIZE, 3),
    {(1, _ANCHORS, 1), (1, _ANCHORS, 12)},
)


class Square(NamedTuple):
    """A rotated square of an image: centre x, y in pixels, side in pixels, angle in radians."""

    x: float
    y: float
    side: float
    angle: float

    def matrix(self, size: int) -> np.ndarray:
        """Return the affine map (2, 3) from the image to the square at ``size`` x ``size``."""
        scale = size / self.side
        cos, sin = scale * np.cos(self.angle), scale * np.sin(self.angle)
        turn = np.array([[cos, sin], [-sin, cos]])
        shift = size / 2 - turn @ (self.x, self.y)
        return np.column_stack([turn, shift])


class BlazePoseProvider:
    """BlazePose's landmarks and mask.

    Args:
        options: ``model``, the path of pose_landmark_full.tflite (or _lite, _heavy); ``detector``, the path of
            pose_detection.tflite, or "".

    Raises:
        ConfigError: ai-edge-litert is not installed, or no model is named.
        WeightsError: a model file is missing or is another model.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        if not options.get("model"):
            raise ConfigError("BlazePose needs --model, the path of pose_landmark_full.tflite")
        self.landmarks = _Model(options["model"], _LANDMARKS)
        self.detector: _Model | None = None
        if options.get("detector"):
            self.detector = _Model(options["detector"], _DETECTOR)
            self.anchors = detector_anchors()

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Add the options for the two model files."""
        parser.add_argument("--model", default="", help="pose_landmark_full.tflite")
        parser.add_argument(
            "--detector", default="", help="pose_detection.tflite; without it, the whole image is used"
        )

    def find(self, image: np.ndarray, path: str) -> Found:
        """Return the maps of an RGB image (h, w, 3) and its path; nothing if no person is found."""
        height, width = image.shape[:2]
        square: Square | None = Square(width / 2, height / 2, max(height, width), 0.0)
        if self.detector is not None:
            square = self._detect(self.detector, image)
        if square is None:
            return Found.nothing(image)
        matrix = square.matrix(_SIZE)
        crop = cv2.warpAffine(image, matrix, (_SIZE, _SIZE), flags=cv2.INTER_LINEAR)
        outputs = self.landmarks(crop.astype(np.float32) / 255)
        points, seen, score = _read_landmarks(outputs)
        if score < _LEAST:
            return Found.nothing(image)
        back = cv2.invertAffineTransform(matrix)
        points = points @ back[:, :2].T + back[:, 2]
        mask = cv2.warpAffine(
            _sigmoid(outputs[1, _SIZE, _SIZE, 1][0, ..., 0]), back, (width, height), flags=cv2.INTER_LINEAR
        )
        return Found(paint_parts(points, seen, (height, width)), mask > _LEAST)

    def _detect(self, detector: _Model, image: np.ndarray) -> Square | None:
        """Return the square around the most likely person."""
        height, width = image.shape[:2]
        whole = Square(width / 2, height / 2, _CONTEXT * max(height, width), 0.0)
        matrix = whole.matrix(_DETECTOR_SIZE)
        crop = cv2.warpAffine(
            image,
            matrix,
            (_DETECTOR_SIZE, _DETECTOR_SIZE),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        outputs = detector(crop.astype(np.float32) / 127.5 - 1)
        scores = outputs[1, _ANCHORS, 1][0, :, 0]
        best = int(scores.argmax())
        if _sigmoid(scores[best]) < _LEAST:
            return None
        raw = outputs[1, _ANCHORS, 12][0, best]
        keypoints = (
            raw[4:8].reshape(2, 2) + self.anchors[best] * _DETECTOR_SIZE
        )  # hips, and the top of a circle around the whole person
        back = cv2.invertAffineTransform(matrix)
        hips, top = keypoints @ back[:, :2].T + back[:, 2]
        right, down = top - hips
        angle = float(np.arctan2(right, -down))  # 0 for a person who stands upright
        return Square(float(hips[0]), float(hips[1]), 2 * _MARGIN * float(np.hypot(right, down)), angle)


class _Model:
    """A tflite model that returns its outputs by their shapes.

    Args:
        path: the file of the model.
        kind: the model that it has to be.
    """

    def __init__(self, path: str, kind: _Kind) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise ConfigError(
                "BlazePose needs the package ai-edge-litert: pip install 'fastreid-projects[blazepose]'"
            ) from None
        if not os.path.isfile(path):
            raise WeightsError(
                f"the model {path} does not exist; see projects/MPN/README.md for where to get it"
            )
        try:
            self.interpreter = Interpreter(path, num_threads=1)
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise WeightsError(
                f"the file {path} is not a tflite model: {' '.join(str(error).split())}"
            ) from error
        self.input = self.interpreter.get_input_details()[0]
        _check_kind(path, kind, _shape(self.input), set(map(_shape, self.interpreter.get_output_details())))

    def __call__(self, image: np.ndarray) -> dict[tuple[int, ...], np.ndarray]:
        self.interpreter.set_tensor(self.input["index"], image[None])
        self.interpreter.invoke()
        details = self.interpreter.get_output_details()
        return {_shape(d): self.interpreter.get_tensor(d["index"]) for d in details}


def _shape(details: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(map(int, details["shape"]))


def _check_kind(path: str, kind: _Kind, takes: tuple[int, ...], gives: set[tuple[int, ...]]) -> None:
    """Raise WeightsError for a model with other inputs or outputs."""
    if takes == kind.takes and kind.gives <= gives:
        return
    for other in (_LANDMARKS, _DETECTOR):
        if takes == other.takes and other.gives <= gives:
            raise WeightsError(
                f"{kind.option} {path} takes {takes} and not {kind.takes}: it is probably swapped with "
                f"{other.option}; {kind.option} has to be {kind.file}, {other.option} {other.file}"
            )
    what = f"takes {takes} and not {kind.takes}" if takes != kind.takes else "has other outputs"
    raise WeightsError(f"{kind.option} {path} {what}: it is another model; it has to be {kind.file}")


def detector_anchors() -> np.ndarray:
    """Return the centres of the detector's anchors, (2254, 2) in 0..1: grids of 28, 14, 7 with 2, 2, 6 each."""
    centres = []
    for cells, count in ((28, 2), (14, 2), (7, 6)):
        places = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(places, places), axis=2).reshape(-1, 2)
        centres.append(grid.repeat(count, axis=0))
    return np.concatenate(centres)


def _read_landmarks(outputs: Mapping[tuple[int, ...], np.ndarray]) -> tuple[np.ndarray, np.ndarray, float]:
    """Return COCO's joints (17, 2) in the crop, whether each is seen, and the score that there is a person."""
    values = outputs[1, 195].reshape(39, 5)[_AS_COCO]
    seen = (_sigmoid(values[:, 3]) > _LEAST) & (_sigmoid(values[:, 4]) > _LEAST)
    return values[:, :2], seen, float(outputs[1, 1].item())


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
