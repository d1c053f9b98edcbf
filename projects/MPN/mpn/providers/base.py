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

# The class of each provider; it is imported when it is needed, as it may need optional packages.
PROVIDERS = {
    "drawn": "fastreid_projects.mpn.providers.drawn:DrawnProvider",
    "torchvision": "fastreid_projects.mpn.providers.torchvision_models:TorchvisionProvider",
    "blazepose": "fastreid_projects.mpn.providers.blazepose:BlazePoseProvider",
}


class Found(NamedTuple):
    """The maps that a provider has found in an image.

    Attributes:
        parts: uint8 (h, w), numbers of :mod:`fastreid_projects.mpn.data.part_masks`, 0 for none.
        person: bool (h, w), the person with what they carry.
    """

    parts: np.ndarray
    person: np.ndarray

    def union(self) -> np.ndarray:
        """Return both maps in one: the parts, and ``OTHER`` where there is a person without a part (Fig. 5a)."""
        return np.where((self.parts == BACKGROUND) & self.person, OTHER, self.parts).astype(np.uint8)

    @classmethod
    def nothing(cls, image: np.ndarray) -> Found:
        """Return maps without a person."""
        size = image.shape[:2]
        return cls(np.zeros(size, np.uint8), np.zeros(size, bool))


class Provider(Protocol):
    """An object that finds body parts; built once in each process from its options."""

    def __init__(self, options: Mapping[str, Any]) -> None: ...

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Add its options to a command line."""

    def find(self, image: np.ndarray, path: str) -> Found:
        """Return the maps of an RGB image, uint8 (h, w, 3), and its path."""


def provider_class(name: str) -> type[Provider]:
    """Return the class of a registered provider.

    Raises:
        ConfigError: there is no provider with this name, or a package that it needs is missing.
    """
    if name not in PROVIDERS:
        raise ConfigError(f"there is no provider '{name}'; known are {', '.join(PROVIDERS)}")
    module, cls = PROVIDERS[name].split(":")
    found: type[Provider] = getattr(importlib.import_module(module), cls)
    return found


def build_provider(name: str, options: Mapping[str, Any]) -> Provider:
    """Build a provider with its options."""
    return provider_class(name)(options)
