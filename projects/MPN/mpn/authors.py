"""The authors' checkpoints (github.com/WangKan0128/MPN, class TS): their names, and K separate layers in one."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# Their backbone is a sequence.
_BACKBONE = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
# (name of what belongs to part k, our name of the layer; the rest of the name follows). Any list may hold their channel
# attention, because their published code trains without it.
_PARTS = (
    (r"local_conv_list\.(?P<k>\d+)\.0\.", "heads.conv1."),
    (r"local_conv_list\.(?P<k>\d+)\.1\.", "heads.conv1.norm."),
    (r"local_conv_list2\.(?P<k>\d+)\.0\.", "heads.conv2."),
    (r"local_conv_list2\.(?P<k>\d+)\.1\.", "heads.conv2.norm."),
    (r"Sfc_list\.(?P<k>\d+)\.", "heads.classifier."),
    (r"Tfc_list\.(?P<k>\d+)\.", "heads.auxiliary.classifier."),
    (r"\w+\.(?P<k>\d+)\.channel_attn\.conv1\.conv\.", "heads.attention.squeeze."),
    (r"\w+\.(?P<k>\d+)\.channel_attn\.conv1\.bn\.", "heads.attention.squeeze.norm."),
    (r"\w+\.(?P<k>\d+)\.channel_attn\.conv2\.conv\.", "heads.attention.excite."),
    (r"\w+\.(?P<k>\d+)\.channel_attn\.conv2\.bn\.", "heads.attention.excite.norm."),
)


def from_authors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of the authors' network and join those of the K parts.

    Args:
        weights: their state dictionary, with or without the prefix ``module.``; ``S`` marks the main tasks (students),
            ``T`` the auxiliary ones (teachers). With channel attention, MODEL.MPN.REDUCTION has to be 4.

    Returns:
        A state dictionary of :class:`.meta_arch.MPN`; other entries keep their names.
    """
    renamed: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    for key, value in weights.items():
        name = key.removeprefix("module.")
        for pattern, ours in _PARTS:
            match = re.match(pattern, name)
            if match:
                parts.setdefault(ours + name[match.end() :], {})[int(match["k"])] = value
                break
        else:
            renamed[_backbone_name(name)] = value
    return renamed | {name: _together(name, [own[k] for k in sorted(own)]) for name, own in parts.items()}


def _backbone_name(name: str) -> str:
    first, number, *rest = [*name.split(".", 2), ""][:3]
    if first != "base" or number not in _BACKBONE:
        return name
    return ".".join(["backbone", _BACKBONE[number], *rest])


def _together(name: str, values: list[Tensor]) -> Tensor:
    """Join the tensors of the parts: stack classifiers, concatenate channels, keep one of the equal counters."""
    if "classifier" in name:
        return torch.stack(values)
    return torch.cat(values) if values[0].dim() else values[0]
