"""Find hyper-parameters in the papers' configs that come neither from the paper nor from a stated replacement.

``python -m fastreid_projects.config.unsourced`` in a checkout lists them. Each paper has a ``values.yml``, a list::

    - configs: ["*_demo"]                     # patterns of config names, with :<stage> if a config has stages
      source: small twins, minutes on a CPU   # where the value is given, or why it replaces the paper's
      keys: [INPUT.SIZE_TRAIN]                # accepted with any value
    - configs: ["*"]
      source: sec. 4.2
      values: {SOLVER.BASE_LR: 0.00035}       # accepted with this value

The first entry that matches a config and has the key decides.
"""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fastreid_projects.config.reading import load_with_sources
from fastreid_projects.config.values import config_leaves, get_key
from fastreid_projects.errors import ConfigError

# Keys that say where and on what a run happens, not how a model is trained.
_NO_PARAMETERS = (
    "DATASETS",
    "DATALOADER.NUM_WORKERS",
    "SOLVER.CHECKPOINT_PERIOD",
    "SOLVER.KEEP_CHECKPOINTS",
    "TEST.EVAL_PERIOD",
    "TEST.IMS_PER_BATCH",
    "CUDNN_BENCHMARK",
    "OUTPUT_DIR",
    "SEED",
    "STAGES",
    "MODEL.WEIGHTS",
    "MODEL.DEVICE",
    "PLUGINS",
)
_STAGE_KEYS = ("NAME", "CONFIG", "TAKES", "WEIGHTS_KEY", "REUSE")


class Unsourced(NamedTuple):
    """A hyper-parameter without a source.

    Attributes:
        config: the name of the config, with ``:<stage>`` for a value of a stage.
        key: the key.
        value: its value.
        expected: the value in ``values.yml``; None if it has none.
        where: ``path:line`` of the value.
    """

    config: str
    key: str
    value: Any
    expected: Any
    where: str

    def __str__(self) -> str:
        instead = "" if self.expected is None else f"; values.yml has {self.expected!r}"
        return f"{self.config}: {self.key} {self.value!r} ({self.where}){instead}"


def unsourced(paper: str | Path) -> list[Unsourced]:
    """List the values in all configs of a paper that its ``values.yml`` does not account for.

    Args:
        paper: the folder that holds ``values.yml`` and ``configs``.

    Raises:
        ConfigError: a config cannot be loaded, or ``values.yml`` is not such a list.
    """
    entries = _read(Path(paper) / "values.yml")
    configs = sorted(p for p in Path(paper).glob("configs/**/*.yml") if p.parent.name != "_blocks")
    return [found for config in configs for found in _unsourced_of(config, entries)]


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    for entry in entries if isinstance(entries, list) else [None]:
        if (
            not isinstance(entry, dict)
            or {"configs", "source"} - set(entry)
            or not {"keys", "values"} & set(entry)
        ):
            raise ConfigError(
                f"{path} has to be a list of configs, source, and keys or values, not {entry!r}"
            )
    return list(entries)


def _unsourced_of(path: Path, entries: Sequence[Mapping[str, Any]]) -> Iterator[Unsourced]:
    cfg, sources = load_with_sources(str(path))
    for key, where in sources.items():
        if not key.startswith(_NO_PARAMETERS):
            yield from _compare(path.stem, key, get_key(cfg, key), where, entries)
    for stage in cfg.STAGES:
        values = {key: value for key, value in stage.items() if key not in _STAGE_KEYS}
        for key, value in config_leaves(values):
            if not key.startswith(_NO_PARAMETERS):
                where = sources.get(f"STAGES.{stage['NAME']}.{key}", str(path))
                yield from _compare(f"{path.stem}:{stage['NAME']}", key, value, where, entries)


def _compare(
    name: str, key: str, value: Any, where: str, entries: Sequence[Mapping[str, Any]]
) -> Iterator[Unsourced]:
    for entry in entries:
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in entry["configs"]):
            continue
        if key in entry.get("keys", ()):
            return
        if key in entry.get("values", {}):
            expected = entry["values"][key]
            if _plain(value) != _plain(expected):
                yield Unsourced(name, key, value, expected, where)
            return
    yield Unsourced(name, key, value, None, where)


def _plain(value: Any) -> Any:
    """Return a value as YAML gives it, also if it came through a config: ``("A",)`` is a string in a stage."""
    if isinstance(value, str) and value.startswith("("):
        return [part.strip(" \"'") for part in value.strip("()").split(",") if part.strip()]
    return [_plain(element) for element in value] if isinstance(value, (list, tuple)) else value


if __name__ == "__main__":
    lines = [
        str(found)
        for paper in sorted(Path("projects").glob("*/values.yml"))
        for found in unsourced(paper.parent)
    ]
    print("\n".join(lines) or "every hyper-parameter has a source")
    sys.exit(bool(lines))
