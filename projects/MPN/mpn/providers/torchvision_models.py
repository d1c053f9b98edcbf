"""Body parts from torchvision: a segmentation model for the person, and a keypoint model for the parts."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastreid_projects.checkpoints.weights import load_state_dict_file
from fastreid_projects.errors import ConfigError, WeightsError

from .base import Found
from .skeleton import paint_parts

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HEIGHT = 384  # crops of pedestrians are small; both models were trained on larger people
_LEAST_SCORE = 0.5


class TorchvisionProvider:
    """DeepLabV3 (MobileNetV3) and Keypoint R-CNN (ResNet-50 FPN), both from torchvision.

    Args:
        options: ``segmentation_weights`` and ``keypoint_weights``, files, or "" for the user's cache of torch.hub;
            ``download``, whether to download missing files, with a message; ``device``.

    Raises:
        ConfigError: the device does not exist.
        WeightsError: a file is missing, or belongs to another model.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        # Imported here because they are slow to import and the options of a command line do not need them.
        from torchvision.models import detection, segmentation

        segmentation_weights = segmentation.DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1
        self.person = segmentation_weights.meta["categories"].index("person")
        self.device = _device(options.get("device") or "cpu")
        download = bool(options.get("download"))
        self.segmentation = _load(
            segmentation.deeplabv3_mobilenet_v3_large(
                weights=None, weights_backbone=None, num_classes=21, aux_loss=True
            ),
            segmentation_weights.url,
            options.get("segmentation_weights", ""),
            "--segmentation-weights",
            download,
        ).to(self.device)
        self.keypoints = _load(
            detection.keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None),
            detection.KeypointRCNN_ResNet50_FPN_Weights.COCO_V1.url,
            options.get("keypoint_weights", ""),
            "--keypoint-weights",
            download,
        ).to(self.device)

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Add the options for weights and device."""
        parser.add_argument("--segmentation-weights", default="", help="file of deeplabv3_mobilenet_v3_large")
        parser.add_argument("--keypoint-weights", default="", help="file of keypointrcnn_resnet50_fpn")
        parser.add_argument(
            "--download", action="store_true", help="download missing weights, with a message"
        )
        parser.add_argument("--device", default="cpu", help="cpu or cuda")

    @torch.inference_mode()
    def find(self, image: np.ndarray, path: str) -> Found:
        """Return the maps of an RGB image (h, w, 3) and its path; nothing if no person is found."""
        height, width = image.shape[:2]
        large = torch.from_numpy(image).to(self.device).permute(2, 0, 1)[None].float() / 255
        scale = _HEIGHT / height
        large = F.interpolate(large, (_HEIGHT, max(round(width * scale), 1)), mode="bilinear", antialias=True)
        person = self._person(large, (height, width))
        found = self.keypoints([large[0]])[0]
        if not len(found["scores"]) or found["scores"][0] < _LEAST_SCORE:
            return Found(np.zeros((height, width), np.uint8), person)
        points = found["keypoints"][0, :, :2].cpu().numpy() / scale
        seen = found["keypoints_scores"][0].cpu().numpy() > 0
        return Found(paint_parts(points, seen, (height, width)), person)

    def _person(self, image: Tensor, size: tuple[int, int]) -> np.ndarray:
        mean, std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (_MEAN, _STD))
        logits = self.segmentation((image - mean) / std)["out"]
        logits = F.interpolate(logits, size, mode="bilinear", antialias=True)
        person: np.ndarray = (logits.argmax(1)[0] == self.person).cpu().numpy()
        return person


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"--device '{name}' is not a device of this machine: use cpu, or cuda (cuda:1, ...) if there is a GPU"
        ) from error
    return device


def _load(model: nn.Module, url: str, path: str, option: str, download: bool) -> nn.Module:
    path = path or os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(url))
    if not os.path.isfile(path) and download:
        print(f"downloading {url} to {path}", file=sys.stderr)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        torch.hub.download_url_to_file(url, path)
    if not os.path.isfile(path):
        raise WeightsError(
            f"the weights {path} do not exist; download {url}, name the file with {option}, or use --download"
        )
    try:
        model.load_state_dict(load_state_dict_file(path))
    except RuntimeError as error:
        raise WeightsError(
            f"the weights {path} ({option}) do not belong to {type(model).__name__}: download {url}"
        ) from error
    return model.eval()
