"""Feature maps for losses that look inside a model, whatever the model is.

A loss whose ``inputs`` is :data:`FEATURE_MAPS` has ``layers``: dotted names of the model's modules, whose outputs it
gets as a list, in that order. This module needs torch alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from fastreid_projects.errors import ConfigError

FEATURE_MAPS = "feature maps"


class FeatureMaps:
    """Keeps what named modules put out in a forward pass, until it is taken.

    Of a module that is a sequence its last member is watched, since some models call the members one by one.

    Args:
        model: the model.
        layers: dotted module names, e.g. ``"backbone.layer3"``.
        key: config key of these names, for messages.
        training: keep what is put out in training mode; False keeps what is put out in evaluation.

    Raises:
        ConfigError: the model has no such module.
    """

    def __init__(self, model: nn.Module, layers: Iterable[str], key: str, *, training: bool = True) -> None:
        self.layers, self.key, self.training = tuple(layers), key, training
        self._maps: dict[int, Any] = {}
        for index, name in enumerate(self.layers):
            try:
                module = model.get_submodule(name)
            except AttributeError:
                top = ", ".join(f"{n}.{m}" for n, c in model.named_children() for m, _ in c.named_children())
                raise ConfigError(
                    f"{key} names '{name}', which {type(model).__name__} does not have; it has {top}"
                ) from None
            while isinstance(module, nn.Sequential) and len(module):
                module = module[-1]
            module.register_forward_hook(functools.partial(self._keep, index))

    def _keep(self, index: int, module: nn.Module, arguments: Any, output: Any) -> None:
        if module.training == self.training:
            self._maps[index] = output

    def take(self) -> list[Tensor]:
        """The maps (N, C, H, W) in the order of the layers, a module's list in its own order; then forget them.

        Raises:
            ConfigError: a module gave no feature map.
        """
        outputs, self._maps = self._maps, {}
        maps: list[Tensor] = []
        for index, name in enumerate(self.layers):
            output = outputs.get(index, ())
            found = list(output) if isinstance(output, (list, tuple)) else [output]
            if not found or not all(isinstance(m, Tensor) and m.dim() == 4 for m in found):
                raise ConfigError(f"{self.key} names '{name}', which gives no feature map (N, C, H, W)")
            maps += found
        return maps
