"""The type of a config, for annotations: ``def build(cfg: Config)``.

At run time it is FastReID's ``CfgNode``; an editor and mypy read its keys in ``typed_config.pyi``.
"""

from fastreid.config import CfgNode as Config

__all__ = ["Config"]
