"""Registered losses in the host's unmodified architectures.

``Baseline.losses`` (modeling/meta_arch/baseline.py:135-188) and ``MGN.losses`` (mgn.py:263-394) are closed
if-chains: a loss whose name they do not know is silently not trained. Here every name is checked against the registry
when the model is built, and a registered loss that the if-chain leaves out is added to the dictionary of losses. A loss
on feature maps gets those of the modules it names (:mod:`fastreid_projects.losses.feature_maps`). Label smoothing is
that of its paper; the host (losses/cross_entroy_loss.py:42) divides by one class less.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from torch import Tensor, nn

from fastreid_projects import plugins
from fastreid_projects.host_import import rebind
from fastreid_projects.losses.cross_entropy import cross_entropy
from fastreid_projects.losses.distances import without_blank
from fastreid_projects.losses.feature_maps import FEATURE_MAPS, FeatureMaps
from fastreid_projects.losses.registry import LOSSES, NamedLoss, build_losses, check_loss_names

INPUTS = ("features", "logits", FEATURE_MAPS)
BASELINE_NAMES = ("CrossEntropyLoss", "TripletLoss", "CircleLoss", "Cosface")
MGN_NAMES = ("CrossEntropyLoss", "TripletLoss")
# The host gives eight classifiers equal weights, and five pooled features, too (mgn.py:287, 342).
MGN_LOGITS_WEIGHT = 0.125
MGN_FEATURES_WEIGHT = 0.2
_MARK = "_fastreid_projects_losses"


def patch_losses() -> None:
    """Add the registered losses to Baseline and MGN, and let the host's pair losses ignore autocast."""
    from fastreid.modeling import losses as host_losses_module
    from fastreid.modeling.meta_arch import baseline, mgn

    from fastreid_projects.losses import host_losses  # noqa: F401  (registers the host's names)

    rebind(host_losses_module.cross_entropy_loss, cross_entropy)
    _teach(baseline.Baseline, BASELINE_NAMES, _baseline_losses)
    _teach(mgn.MGN, MGN_NAMES, _mgn_losses)
    for module in (baseline, mgn):
        for name in ("triplet_loss", "pairwise_circleloss", "pairwise_cosface"):
            function = getattr(module, name)
            if not hasattr(function, _MARK):
                setattr(module, name, _in_float32(function, units=name != "triplet_loss"))


def _in_float32(function: Callable[..., Tensor], *, units: bool) -> Callable[..., Tensor]:
    """Compute a pair loss in float32; under CUDA autocast the host uses half precision (modeling/losses/utils.py:39).

    Args:
        function: the host's function.
        units: whether it scales features to unit length (modeling/losses/circle_loss.py:18, 52).
    """

    @functools.wraps(function)
    def wrapped(embedding: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        with torch.autocast(embedding.device.type, enabled=False):
            features = embedding.float()
            return function(without_blank(features) if units else features, *args, **kwargs)

    setattr(wrapped, _MARK, True)
    return wrapped


def _teach(arch: Any, host_names: tuple[str, ...], extra: Callable[..., dict[str, Tensor]]) -> None:
    if hasattr(arch, _MARK):
        return
    setattr(arch, _MARK, True)
    from_config, init, losses = arch.from_config.__func__, arch.__init__, arch.losses

    def from_config_with_losses(cls: Any, cfg: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        names = known_losses(cfg.MODEL.LOSSES.NAME, cfg.MODEL.META_ARCHITECTURE)
        check_loss_names(names, INPUTS, cls.__name__)
        arguments = from_config(cls, cfg, *args, **kwargs)
        added = [name for name in names if name not in host_names]
        arguments["loss_kwargs"]["registered"] = build_losses(cfg, added)
        return arguments

    @functools.wraps(init)
    def init_with_losses(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        registered = (self.loss_kwargs or {}).get("registered", [])
        if registered:
            self.registered_losses = nn.ModuleDict({loss.key: loss.module for loss in registered})
        self.loss_maps = {
            loss.key: _maps_for(self, loss) for loss in registered if loss.inputs == FEATURE_MAPS
        }

    @functools.wraps(losses)
    def losses_with_registered(self: Any, *outputs: Any) -> dict[str, Tensor]:
        loss_dict = losses(self, *outputs)
        if not torch.is_grad_enabled() and not outputs[-1].any():
            return (
                loss_dict  # PRECISE_BN: its labels are all 0 (baseline.py:113), and nobody reads the losses
            )
        for loss in (self.loss_kwargs or {}).get("registered", []):
            if loss.key in self.loss_maps:
                maps = self.loss_maps[loss.key].take()
                loss_dict[loss.key] = loss.scale * loss.module(maps, outputs[-1])
            else:
                loss_dict.update(extra(loss, *outputs))
        return loss_dict

    setattr(losses_with_registered, _MARK, True)
    arch.from_config = classmethod(from_config_with_losses)
    arch.__init__ = init_with_losses
    arch.losses = losses_with_registered


def known_losses(names: Sequence[str], architecture: str) -> Sequence[str]:
    """Return the losses that the registry has to know: all, unless an architecture computes its own.

    Args:
        names: MODEL.LOSSES.NAME.
        architecture: MODEL.META_ARCHITECTURE; a plug-in may override ``losses`` of Baseline or MGN, or derive from
            neither.
    """
    cls = META_ARCH_REGISTRY.get(architecture)
    losses = getattr(cls, "losses", None)
    own = not plugins.is_ours(cls) if losses is None else not hasattr(losses, _MARK)
    return [name for name in names if name in LOSSES] if own and not isinstance(names, str) else names


def _maps_for(model: nn.Module, loss: NamedLoss) -> FeatureMaps:
    module: Any = loss.module
    return FeatureMaps(model, module.layers, f"MODEL.LOSSES.{module.config_node}.LAYERS")


def _baseline_losses(loss: NamedLoss, outputs: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
    inputs = outputs["cls_outputs" if loss.inputs == "logits" else "features"]
    return {loss.key: loss.scale * loss.module(inputs, labels)}


def _mgn_losses(
    loss: NamedLoss,
    b1: dict[str, Tensor],
    b2: dict[str, Tensor],
    b21: dict[str, Tensor],
    b22: dict[str, Tensor],
    b3: dict[str, Tensor],
    b31: dict[str, Tensor],
    b32: dict[str, Tensor],
    b33: dict[str, Tensor],
    labels: Tensor,
) -> dict[str, Tensor]:
    """Apply a loss to the same eight classifiers or five features, with the same weights, as the host's MGN losses."""
    if loss.inputs == "logits":
        heads = {"b1": b1, "b2": b2, "b21": b21, "b22": b22, "b3": b3, "b31": b31, "b32": b32, "b33": b33}
        inputs = {key: head["cls_outputs"] for key, head in heads.items()}
        weight = MGN_LOGITS_WEIGHT
    else:
        inputs = {
            "b1": b1["features"],
            "b2": b2["features"],
            "b3": b3["features"],
            "b22": torch.cat([part["features"] for part in (b21, b22)], dim=1),
            "b33": torch.cat([part["features"] for part in (b31, b32, b33)], dim=1),
        }
        weight = MGN_FEATURES_WEIGHT
    return {f"{loss.key}_{k}": weight * loss.scale * loss.module(v, labels) for k, v in inputs.items()}
