"""The interface of providers and their registry.

| letter | meaning            |
| ------ | ------------------ |
| h x w  | size of the image  |
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastreid_projects.errors import ConfigError

from ..data.part_masks import BACKGROUND, OTHER

# Where each provider's class is; imported when it is asked for, as it may need packages that are optional.
PROVIDERS = {
    "drawn": "fastreid_projects.mpn.providers.drawn:DrawnProvider",
    "torchvision": "fastreid_projects.mpn.providers.torchvision_models:TorchvisionProvider",
    "blazepose": "fastreid_projects.mpn.providers.blazepose:BlazePoseProvider",
}


class Found(NamedTuple):
    """What a provider has found in an image.

    Attributes:
        parts: uint8 (h, w), numbers of :mod:`fastreid_projects.mpn.data.part_masks`, 0 where none.
        person: bool (h, w), the person with what they carry.
    """

    parts: np.ndarray
    person: np.ndarray

    def union(self) -> np.ndarray:
        """Both maps together: the parts, and ``OTHER`` where there is a person without a part (Fig. 5a)."""
        return np.where((self.parts == BACKGROUND) & self.person, OTHER, self.parts).astype(np.uint8)

    @classmethod
    def nothing(cls, image: np.ndarray) -> Found:
        """No person."""
        size = image.shape[:2]
        return cls(np.zeros(size, np.uint8), np.zeros(size, bool))


class Provider(Protocol):
    """Finds body parts; built once per process from its options."""

    def __init__(self, options: Mapping[str, Any]) -> None: ...

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Add its options to a command line."""

    def find(self, image: np.ndarray, path: str) -> Found:
        """RGB uint8 (h, w, 3) and its path -> the maps."""


def provider_class(name: str) -> type[Provider]:
    """The class of a registered provider.

    Raises:
        ConfigError: there is none of this name, or a package that it needs is missing.
    """
    if name not in PROVIDERS:
        raise ConfigError(f"there is no provider '{name}'; known are {', '.join(PROVIDERS)}")
    module, cls = PROVIDERS[name].split(":")
    found: type[Provider] = getattr(importlib.import_module(module), cls)
    return found


def build_provider(name: str, options: Mapping[str, Any]) -> Provider:
    """A provider with its options."""
    return provider_class(name)(options)
