"""ONNX files that equal their model, with a JSON file that describes input and output."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fastreid_projects.config.ready import ready
from fastreid_projects.contract import DescribesOutput
from fastreid_projects.engine.load_model import load_trained
from fastreid_projects.errors import ConfigError, ExportError
from fastreid_projects.extras import need
from fastreid_projects.files import check_writable, replacing
from fastreid_projects.modeling.outputs import output_kind
from fastreid_projects.records.record import environment, write_record

INPUT, OUTPUT = "images", "features"
BATCH_SIZES = (1, 2, 5)
TOLERANCE = 1e-4
OPSET = 17
_WHAT = "Writing ONNX"


class _ImagesToFeatures(nn.Module):
    """The model in the form of the exported file: one tensor in, one tensor out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, h, w), RGB 0..255, to what the model returns in evaluation, (N, ...)."""
        return self.model(images)


def export(cfg: Any, path: str | Path) -> dict[str, Any]:
    """Write the config's model with ``MODEL.WEIGHTS`` to ``path``, and its description beside it as ``.json``.

    Nothing is written unless onnxruntime and the model agree; either both files are written or none.

    Args:
        cfg: the merged config, not frozen.
        path: the path of the ONNX file.

    Returns:
        The description.

    Raises:
        ConfigError: there are no weights or no fixed image size, or the path has the suffix of the description.
        MissingExtraError: onnx or onnxruntime is not installed.
        DataError: one of the two files cannot be written.
        WeightsError: the weights are missing or belong to another model.
        ExportError: the exported file does not reproduce the model's features.
    """
    path = Path(path)
    check_writable(path)
    description_path = _description_path(path)
    check_writable(description_path)
    for package in ("onnx", "onnxruntime"):
        need(package, "export", _WHAT)
    model = _load(cfg)
    height, width = cfg.INPUT.SIZE_TEST
    content = to_onnx(model, (height, width))
    comparison = compare(model, content, (height, width))
    description = {
        "file": path.name,
        "architecture": cfg.MODEL.META_ARCHITECTURE,
        "weights": cfg.MODEL.WEIGHTS,
        "input": _describe_input(cfg, height, width),
        "output": _describe_output(cfg, model, comparison.pop("shape")),
        "comparison": comparison,
        "opset": OPSET,
        **environment(),
    }
    with replacing(path) as file:  # replaces the old file once the description is written
        file.write(content)
        file.flush()
        write_record(description_path, description)
    return description


def _description_path(path: Path) -> Path:
    """Return ``bot.json`` for ``bot.onnx``, and ``bot.v1.2.json`` for ``bot.v1.2``."""
    if path.suffix.lower() == ".json":
        raise ConfigError(
            f"the ONNX file cannot be named {path.name}, as its description beside it ends in .json; use "
            f"{path.with_suffix('.onnx').name}"
        )
    return path.with_name(path.name.removesuffix(".onnx") + ".json")


def _load(cfg: Any) -> nn.Module:
    if not os.path.isfile(cfg.MODEL.WEIGHTS):
        raise ConfigError(
            f"MODEL.WEIGHTS '{cfg.MODEL.WEIGHTS}' is not a file; name the weights to export, e.g. MODEL.WEIGHTS "
            "logs/my_run/model_final.pth"
        )
    if len(cfg.INPUT.SIZE_TEST) != 2 or min(cfg.INPUT.SIZE_TEST) <= 0:
        raise ConfigError(
            f"INPUT.SIZE_TEST is {list(cfg.INPUT.SIZE_TEST)}; an exported model needs one fixed [height, width]"
        )
    cfg.MODEL.DEVICE = "cpu"
    return load_trained(ready(cfg)).eval()


def to_onnx(model: nn.Module, size: tuple[int, int]) -> bytes:
    """Trace the model on images of (height, width), for batches of any size.

    ``torch.export`` is not used because it cannot write a global max pooling as ONNX (torch 2.12).

    Raises:
        ExportError: the model does something that ONNX cannot express.
    """
    onnx = need("onnx", "export", _WHAT)
    images = _images(2, size)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
            path = Path(folder) / "model.onnx"
            warnings.simplefilter(
                "ignore"
            )  # about shapes that become constants; the comparison finds wrong ones
            torch.onnx.export(
                _ImagesToFeatures(model).eval(),
                (images,),
                path,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
                opset_version=OPSET,
                dynamo=False,
            )
            content = path.read_bytes()
        onnx.checker.check_model(onnx.load_from_string(content))
    except (RuntimeError, onnx.checker.ValidationError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ExportError(f"{type(model).__name__} cannot be written as ONNX: {reason}") from error
    return content


def compare(
    model: nn.Module, content: bytes, size: tuple[int, int], batch_sizes: Sequence[int] = BATCH_SIZES
) -> dict[str, Any]:
    """Run an ONNX file with onnxruntime on random images, and compare it with the model.

    Args:
        model: the model in evaluation mode, on the CPU.
        content: the ONNX file.
        size: height and width.
        batch_sizes: the batch sizes to try.

    Returns:
        ``tolerance``; ``largest_error`` for each batch size, as a share of the largest feature value if that is above
        1; and ``shape``, the shape of the output for one image.

    Raises:
        ExportError: an error is not below the tolerance, or onnxruntime cannot run the file on a batch.
    """
    onnxruntime = need("onnxruntime", "export", _WHAT)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are raised as well
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    errors: dict[int, float] = {}
    shape: list[int] = []
    for count in batch_sizes:
        images = _images(count, size)
        with torch.no_grad():
            expected = model(images).numpy()
        try:
            features = session.run([OUTPUT], {INPUT: images.numpy()})[0]
        except Exception as error:  # onnxruntime's errors have no common base
            raise ExportError(
                f"onnxruntime cannot run the exported {type(model).__name__} on {count} images: "
                f"{' '.join(str(error).split())[:300]}"
            ) from error
        errors[count] = relative_error(features, expected)
        shape = list(expected.shape[1:])
    worst = max(errors.values())
    if not worst < TOLERANCE:  # also true for NaN
        raise ExportError(
            f"the exported {type(model).__name__} differs from the model by {worst:.1e} of the largest feature value, "
            f"not below {TOLERANCE:.0e}; nothing is written"
        )
    return {"tolerance": TOLERANCE, "largest_error": errors, "shape": shape}


def relative_error(values: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """Return the largest absolute difference over the largest absolute expected value, or over 1 if that is smaller.

    It is infinite if the shapes differ, and NaN if a value is NaN.
    """
    if values.shape != expected.shape:
        return float("inf")
    return float(np.abs(values - expected).max() / max(1.0, float(np.abs(expected).max())))


def _images(count: int, size: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, 3, *size, generator=generator) * 255


def _describe_input(cfg: Any, height: int, width: int) -> dict[str, Any]:
    return {
        "name": INPUT,
        "type": "float32",
        "layout": "NCHW",
        "shape": ["batch", 3, height, width],
        "channel_order": "RGB",
        "value_range": [0, 255],
        "resize": "bicubic to height x width, without keeping the aspect ratio",
        "normalisation": "inside",
        "mean": list(cfg.MODEL.PIXEL_MEAN),
        "std": list(cfg.MODEL.PIXEL_STD),
    }


def _describe_output(cfg: Any, model: nn.Module, shape: list[int]) -> dict[str, Any]:
    output = {"name": OUTPUT, "type": "float32", "shape": ["batch", *shape], "normalised": False}
    kind = output_kind(model)
    output |= {"kind": kind, "metric": cfg.TEST.METRIC} if kind == "features" else {"kind": kind}
    names = model.output_names if isinstance(model, DescribesOutput) else ()
    return {**output, "axis_1": list(names)} if names else output
