"""The small configs of the project, one for each architecture: for tests of what works with all of them."""

from pathlib import Path

from fastreid_projects.config import load_config

ROOT = Path(__file__).resolve().parents[1]


def small_configs() -> dict[str, Path]:
    """Name -> the first ``_demo.yml`` of every architecture, head and backbone; AMD, which wraps one, aside."""
    found: dict[str, Path] = {}
    for path in (
        *sorted(ROOT.glob("configs/*_demo.yml")),
        *sorted(ROOT.glob("projects/*/configs/*_demo.yml")),
    ):
        model = load_config(str(path)).MODEL
        if model.META_ARCHITECTURE != "AMD" and not path.stem.startswith("Base-"):
            found.setdefault(f"{model.META_ARCHITECTURE}-{model.HEADS.NAME}-{model.BACKBONE.NAME}", path)
    return found
