"""The configs of the repository, for tests: all of them, and one by its name."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ALL = [*sorted((ROOT / "configs").rglob("*.yml")), *sorted((ROOT / "projects").glob("*/configs/**/*.yml"))]
BLOCKS = [path for path in ALL if path.parent.name == "_blocks"]
RUNNABLE = [
    path
    for path in ALL
    if path not in BLOCKS and ("_timm_" not in path.stem or find_spec("timm") is not None)
]


def without_memory(cfg: Any) -> str:
    """Return the device on which a config's model takes no memory; FastReID's ViT reads numbers off a tensor."""
    return "cpu" if cfg.MODEL.BACKBONE.NAME == "build_vit_backbone" else "meta"


def config_file(name: str) -> Path:
    """Return the config of that name, such as ``sal_r18_demo``, whichever folder it lies in."""
    (path,) = [path for path in RUNNABLE if path.stem == name.removesuffix(".yml")]
    return path
