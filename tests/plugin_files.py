"""Plug-ins for tests, and the registries without them afterwards."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from fastreid_projects.plugin_modules.loading import registries
from fastreid_projects.plugins import register_all

LOSS = """
from fastreid.config import CfgNode
from torch import nn

from fastreid_projects.losses import register_loss


def add_config(cfg):
    cfg.MODEL.LOSSES.{node} = CfgNode({{"SCALE": 1.0, "MARGIN": 0.5}})


@register_loss
class {name}(nn.Module):
    inputs = "features"
    config_node = "{node}"

    @classmethod
    def from_config(cls, cfg):
        return cls()

    def forward(self, features, labels):
        return features.square().mean()
"""


def write_loss(path: Path, name: str = "PluginLoss", node: str = "PLUGIN", more: str = "") -> Path:
    """Write a plug-in with a loss, the key ``MODEL.LOSSES.<node>.MARGIN``, and more code behind it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(LOSS.format(name=name, node=node) + more)
    return path


@contextlib.contextmanager
def restored_registries() -> Iterator[None]:
    """Take back what is registered meanwhile."""
    register_all()
    before = [dict(registry) for registry in registries()]
    try:
        yield
    finally:
        for registry, content in zip(registries(), before, strict=True):
            registry.clear()
            registry.update(content)
