"""Feature maps for losses that look inside a model of any kind.

A loss whose ``inputs`` is :data:`FEATURE_MAPS` has ``layers``: dotted names of the model's modules, whose outputs it
gets as a list in that order. This module needs only torch.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from fastreid_projects.errors import ConfigError

FEATURE_MAPS = "feature maps"


class FeatureMaps:
    """Keep the outputs of named modules in a forward pass until they are taken.

    If a module is a sequence, its last member is watched, because some models call the members one by one.

    Args:
        model: the model to watch.
        layers: dotted module names, e.g. ``"backbone.layer3"``.
        key: the config key of these names, for error messages.
        training: whether to keep outputs of training mode; False keeps those of evaluation mode.

    Raises:
        ConfigError: the model does not have such a module.
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
        """Return the maps (N, C, H, W) in the order of the layers, then forget them; a module's list keeps its order.

        Raises:
            ConfigError: a module did not return a feature map.
        """
        outputs, self._maps = self._maps, {}
        maps: list[Tensor] = []
        for index, name in enumerate(self.layers):
            output = outputs.get(index, ())
            found = list(output) if isinstance(output, (list, tuple)) else [output]
            if not found or not all(isinstance(m, Tensor) and m.dim() == 4 for m in found):
                raise ConfigError(
                    f"{self.key} names '{name}', which does not give a feature map (N, C, H, W)"
                )
            maps += found
        return maps
