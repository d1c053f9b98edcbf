"""Cut a backbone into five stages, of which AMD shares the first N (sec. 3.2, table 4)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fastreid_projects.contract import CutsItself
from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.modes import evaluating

NUM_STAGES = 5
_PROBE = (1, 3, 128, 64)


def split_stages(backbone: nn.Module) -> list[nn.Module]:
    """Return five modules that compute the backbone one after the other and share its parameters.

    ResNets and similar models are cut before each ``layer``, with their non-local blocks; OSNet and RepVGG by the names
    of their stages; other feed-forward backbones (MobileNet, ShuffleNet) before each block that halves the resolution.
    A backbone with several levels defines its own cut (``five_stages()``), whose last stage concatenates the levels.
    The cut is tested with a random image.

    Raises:
        ConfigError: the backbone has no feature map or cannot be cut into five stages.
    """
    blocks: list[nn.Module] | None
    if isinstance(backbone, CutsItself):
        blocks = backbone.five_stages() or []
    else:
        layers = {f"layer{i}" for i in range(1, NUM_STAGES)} <= dict(backbone.named_children()).keys()
        blocks = resnet_stages(backbone) if layers else _named_stages(backbone)
    if blocks is None:
        blocks = _cut_by_resolution(_flat_children(backbone))
    name = type(backbone).__name__
    if len(blocks) != NUM_STAGES or not _same_output(backbone, blocks):
        raise ConfigError(
            f"the target's backbone {name} cannot be cut into {NUM_STAGES} stages, so AMD cannot explain it; "
            "ResNet, dilated ResNet, ResNeSt, ResNeXt, OSNet, MobileNet, ShuffleNet and RepVGG can, and of timm "
            "ResNet, ConvNeXt, EfficientNet, RegNet and Swin"
        )
    return blocks


def run_stages(stages: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Apply the stages to x in order."""
    for stage in stages:
        x = stage(x)
    return x


def resnet_stages(backbone: nn.Module) -> list[nn.Module]:
    """Return the stem and ``layer1`` to ``layer4`` of a ResNet of the host, each with its non-local blocks."""
    children = dict(backbone.named_children())
    stem = itertools.takewhile(lambda name: name != "layer1", children)
    stages: list[nn.Module] = [nn.Sequential(*(children[name] for name in stem))]
    for i in range(1, NUM_STAGES):
        non_local = iter(children[f"NL_{i}"].children() if f"NL_{i}" in children else ())
        positions = [p for p in getattr(backbone, f"NL_{i}_idx", ()) if p >= 0]
        blocks: list[nn.Module] = []
        for position, block in enumerate(children[f"layer{i}"].children()):
            blocks.append(block)
            if position in positions:
                blocks.append(next(non_local))
        stages.append(nn.Sequential(*blocks))
    return stages


def _named_stages(backbone: nn.Module) -> list[nn.Module] | None:
    children = dict(backbone.named_children())
    if tuple(children) == ("conv1", "maxpool", "conv2", "conv3", "conv4", "conv5"):  # OSNet
        first = nn.Sequential(children["conv1"], children["maxpool"])
        return [first, *(children[f"conv{i}"] for i in range(2, 6))]
    if tuple(children) == tuple(
        f"stage{i}" for i in range(NUM_STAGES)
    ):  # RepVGG; its last stage may keep the size
        return list(children.values())
    return None


def _flat_children(backbone: nn.Module) -> list[nn.Module]:
    blocks: list[nn.Module] = []
    for child in backbone.children():
        blocks.extend(child.children() if isinstance(child, nn.Sequential) and len(child) > 3 else [child])
    return blocks


def _cut_by_resolution(blocks: list[nn.Module]) -> list[nn.Module]:
    groups: list[list[nn.Module]] = []
    with torch.no_grad(), evaluating(*blocks):
        x = torch.zeros(_PROBE, device=_device(*blocks))
        for block in blocks:
            try:
                y = block(x)
            except (
                AssertionError,
                RuntimeError,
                TypeError,
                ValueError,
            ):  # e.g. because it needs another size than the probe's
                return []
            if y.dim() != 4:
                return []
            if not groups or (y.shape[-1] < x.shape[-1]):
                groups.append([])
            groups[-1].append(block)
            x = y
    return [nn.Sequential(*group) for group in groups]


def _device(*modules: nn.Module) -> torch.device | None:
    """Return the device of the first parameter; None if there is none."""
    parameter = next((p for module in modules for p in module.parameters()), None)
    return None if parameter is None else parameter.device


def _same_output(backbone: nn.Module, stages: list[nn.Module]) -> bool:
    with torch.no_grad(), evaluating(backbone):
        image = torch.linspace(-2, 2, steps=math.prod(_PROBE), device=_device(backbone)).view(_PROBE)
        whole, parts = backbone(image), run_stages(stages, image)
    whole = torch.cat(whole, dim=1) if isinstance(whole, (list, tuple)) else whole
    return whole.dim() == 4 and whole.shape[-1] > 1 and torch.equal(whole, parts)
