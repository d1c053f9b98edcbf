"""Hyper-parameters of the papers' configs that are neither the paper's nor a stated stand-in.

``python -m fastreid_projects.config.unsourced`` in a checkout lists them. Each paper has a ``values.yml``, a list of::

    - configs: ["*_demo"]                     # patterns of config names, with :<stage> where a config has stages
      source: small twins, minutes on a CPU   # where it is said, or why it stands in
      keys: [INPUT.SIZE_TRAIN]                # accepted with any value
    - configs: ["*"]
      source: sec. 4.2
      values: {SOLVER.BASE_LR: 0.00035}       # accepted with this one

of which the first entry that fits a config and has a key decides.
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

# Where and on what a run happens, not how a model is trained.
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
    """A value that nobody answers for.

    Attributes:
        config: name of the config, with ``:<stage>`` for one of a stage.
        key: the key.
        value: its value.
        expected: what ``values.yml`` has instead; None where it says nothing.
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
    """List what a paper's ``values.yml`` does not account for, in all its configs.

    Args:
        paper: the folder with ``values.yml`` and ``configs``.

    Raises:
        ConfigError: a config that cannot be loaded, or a ``values.yml`` that is no such list.
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
    """A value as YAML has it, whether it came through a config or not: ``("A",)`` is text in a stage."""
    if isinstance(value, str) and value.startswith("("):
        return [part.strip(" \"'") for part in value.strip("()").split(",") if part.strip()]
    return [_plain(element) for element in value] if isinstance(value, (list, tuple)) else value


if __name__ == "__main__":
    lines = [
        str(found)
        for paper in sorted(Path("projects").glob("*/values.yml"))
        for found in unsourced(paper.parent)
    ]
    print("\n".join(lines) or "every hyper-parameter is its paper's or a stated stand-in")
    sys.exit(bool(lines))
