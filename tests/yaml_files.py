"""The configs of the repository, for tests: all of them, and one by its name."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALL = [*sorted((ROOT / "configs").rglob("*.yml")), *sorted((ROOT / "projects").glob("*/configs/**/*.yml"))]
BLOCKS = [path for path in ALL if path.parent.name == "_blocks"]
RUNNABLE = [path for path in ALL if path not in BLOCKS]


def config_file(name: str) -> Path:
    """Return the config of that name, such as ``sal_r18_demo``, whichever folder it lies in."""
    (path,) = [path for path in RUNNABLE if path.stem == name.removesuffix(".yml")]
    return path
