"""The small configs of the project, one for each architecture: for tests of what works with all of them."""

from pathlib import Path

from fastreid_projects.config import load_config
from tests.yaml_files import RUNNABLE


def small_configs() -> dict[str, Path]:
    """Name -> the first config of ``demo/`` of every architecture, head and backbone; AMD, which wraps one, aside."""
    found: dict[str, Path] = {}
    for path in (path for path in RUNNABLE if path.parent.name == "demo"):
        model = load_config(str(path)).MODEL
        if model.META_ARCHITECTURE != "AMD":
            found.setdefault(f"{model.META_ARCHITECTURE}-{model.HEADS.NAME}-{model.BACKBONE.NAME}", path)
    return found
