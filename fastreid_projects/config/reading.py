"""Read a config: YAML files with ``_BASE_``, then ``KEY VALUE`` pairs; errors name the key and the file."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fastreid_projects import plugins
from fastreid_projects.config.finding import find_file
from fastreid_projects.config.old_paths import moved_config
from fastreid_projects.config.pixels import take_pixels
from fastreid_projects.config.plugin_names import PLUGINS, add_named_plugins
from fastreid_projects.config.show import COMMAND_LINE
from fastreid_projects.config.values import all_keys, config_leaves, get_key, parse, set_key
from fastreid_projects.config.yaml_files import YamlFile, read_with_bases
from fastreid_projects.errors import ConfigError

if TYPE_CHECKING:
    from fastreid_projects.typed_config import Config

_STAGES = "STAGES"
# Keys, or prefixes of keys, that are about data and machine: on the command line they apply to every stage, even to one
# that trains its own YAML file, whose model, losses and schedule stay as they are.
RUN_WIDE = (
    "INPUT",
    "DATASETS",
    "DATALOADER.NUM_WORKERS",
    "MODEL.BACKBONE.PRETRAIN",
    "MODEL.BACKBONE.PRETRAIN_PATH",
    "SOLVER.AMP",
    "TEST.IMS_PER_BATCH",
    "CUDNN_BENCHMARK",
)


class SourcedConfig(NamedTuple):
    """A config and the sources of its values.

    Attributes:
        cfg: the config, not frozen.
        sources: dotted key -> ``path:line`` or "command line"; a missing key has its default value. Keys of a stage
            are called ``STAGES.<name>.KEY``.
    """

    cfg: Config
    sources: dict[str, str]


def load_config(config_file: str = "", opts: Sequence[str] = ()) -> Config:
    """Return the host's defaults and every paper's keys, overridden by a YAML file and then by ``KEY VALUE`` pairs.

    An integer is accepted for a float key, which yacs alone would refuse.

    Args:
        config_file: the path of a YAML file; "" for none.
        opts: ``[KEY, VALUE, KEY, VALUE, ...]``.

    Returns:
        The config, not frozen; its keys and their types are known to an editor.

    Raises:
        ConfigError: a file is missing, empty or not YAML, its ``_BASE_`` is circular, a key is unknown or a value has
            the wrong type.
    """
    return load_with_sources(config_file, opts).cfg


def load_with_sources(config_file: str = "", opts: Sequence[str] = ()) -> SourcedConfig:
    """Read a config as :func:`load_config` does, together with the source of each value."""
    cfg = plugins.get_cfg()
    return SourcedConfig(cfg, merge_config(cfg, config_file, opts))


def merge_config(cfg: Any, config_file: str = "", opts: Sequence[str] = ()) -> dict[str, str]:
    """Merge a file with all its bases, and then ``KEY VALUE`` pairs, into a config.

    Args:
        cfg: a config that is not frozen, with the keys of this project.
        config_file: as in :func:`load_config`.
        opts: as in :func:`load_config`.

    Returns:
        The source of each key that is set.

    Raises:
        ConfigError: as in :func:`load_config`.
    """
    sources: dict[str, str] = {}
    files = read_with_bases(config_file) if config_file else []
    add_named_plugins(cfg, files, opts)
    for file in files:
        sources.update(merge_file(cfg, file))
    sources |= merge_pairs(cfg, opts)
    return sources | take_pixels(cfg, sources)


def merge_file(cfg: Any, file: YamlFile) -> dict[str, str]:
    """Set the keys of one file, not those of its bases; its plug-ins have already been added.

    Returns:
        The source of each key that is set.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type.
    """
    sources = {}
    for key, value in config_leaves(file.values):
        sources[key] = file.source(key)
        if key == PLUGINS:
            continue
        if key == _STAGES and isinstance(value, list):
            sources.update(_sources_of_stages(file, value))
            value = _merge_stages(cfg[_STAGES], value)
        set_key(cfg, key, value, f"{file.path}: ")
    _find_files(cfg, os.path.dirname(file.path))
    return sources


def _find_files(cfg: Any, folder: str) -> None:
    """Resolve paths in a YAML file, which are relative to the working folder, the file's folder, or one above."""
    for key in plugins.path_keys():
        set_key(cfg, key, find_file(get_key(cfg, key), folder), "")
    for stage in cfg[_STAGES]:
        if isinstance(stage, dict) and isinstance(stage.get("CONFIG"), str):
            stage["CONFIG"] = find_file(stage["CONFIG"], folder)


def merge_pairs(cfg: Any, opts: Sequence[str]) -> dict[str, str]:
    """Set ``[KEY, VALUE, KEY, VALUE, ...]`` and return the source of each key that is set.

    Raises:
        ConfigError: a key is unknown or has no value, or a value has the wrong type.
    """
    _check_pairs(cfg, opts)
    pairs = zip(opts[0::2], opts[1::2], strict=True)
    for key, text in sorted(
        pairs, key=lambda pair: pair[0].startswith(f"{_STAGES}.")
    ):  # pairs for a single stage come last
        if key == PLUGINS:
            continue
        if key.startswith(f"{_STAGES}."):
            _set_in_stage(cfg, key, parse(text))
        else:
            set_key(cfg, key, parse(text), "", text)
            _hold_in_stages(cfg, key)
    for key in set(opts[0::2]) & set(plugins.path_keys()):
        path = get_key(cfg, key)
        if not os.path.exists(path):
            set_key(cfg, key, moved_config(path) or path, "")
    return dict.fromkeys(opts[0::2], COMMAND_LINE)


def _check_pairs(cfg: Any, opts: Sequence[str]) -> None:
    """Check that the overrides are pairs of a key and a value; if a value is missing, name the key without one."""
    known = set(all_keys(cfg))
    _check_single_words(opts, known)
    for key, text in zip(opts[0::2], opts[1::2], strict=False):
        _check_text(key, text)
        _check_no_equals_sign(key, known)
        if text in known and key in known:
            raise ConfigError(f"{key} has no value: '{text}', which follows, is a key; write KEY VALUE pairs")
    if len(opts) % 2:
        _check_no_equals_sign(opts[-1], known)
        raise ConfigError(f"the overrides have to be KEY VALUE pairs, but '{opts[-1]}' stands alone")


def _check_single_words(opts: Sequence[str], known: Collection[str]) -> None:
    """Refuse a number in place of a key, because it belongs to the value before it: ``INPUT.SIZE_TRAIN 128 64``."""
    for place in range(2, len(opts), 2):
        if re.match(r"-?\.?\d", opts[place]) and opts[place - 1] not in known:
            words = list(itertools.takewhile(lambda word: word not in known, opts[place - 1 :]))
            numbers = re.findall(r"-?[\d.]+(?:e-?\d+)?", " ".join(words))
            raise ConfigError(
                f"{opts[place - 2]} is followed by several words, {' '.join(words)}; write one: "
                f'{opts[place - 2]} "[{", ".join(numbers)}]"'
            )


def _check_text(key: str, text: str) -> None:
    """Refuse bytes that are not UTF-8, as they cannot be written to the log or to config.yaml."""
    try:
        f"{key} {text}".encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"{ascii(key)[1:-1]} is {text!a}, which is not UTF-8 text; write it in UTF-8"
        ) from None


def _check_no_equals_sign(key: str, known: Collection[str]) -> None:
    name, sign, value = key.partition("=")
    if sign and name in known:
        raise ConfigError(f"'{key}' is not a KEY VALUE pair; write {name} {value}, without the equals sign")


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _merge_stages(below: list[Any], above: list[Any]) -> list[Any]:
    """Return the stages of the upper list, each merged onto the stage of the same name in the lower list."""
    bases = {stage.get("NAME"): stage for stage in below if isinstance(stage, dict)}
    return [_merge(bases.get(s.get("NAME"), {}), s) if isinstance(s, dict) else s for s in above]


def _sources_of_stages(file: YamlFile, stages: list[Any]) -> dict[str, str]:
    return {
        f"{_STAGES}.{stage.get('NAME')}.{key}": file.source(f"{_STAGES}.{number}.{key}")
        for number, stage in enumerate(stages)
        if isinstance(stage, dict)
        for key, _ in config_leaves(stage)
    }


def _set_in_stage(cfg: Any, dotted: str, value: Any) -> None:
    """Set ``STAGES.<name>.KEY``; the key itself is checked when the stages are built."""
    _, name, *path = dotted.split(".")
    stages = {stage["NAME"]: stage for stage in cfg[_STAGES] if isinstance(stage, dict) and "NAME" in stage}
    if name not in stages or not path:
        known = ", ".join(stages) or "none"
        raise ConfigError(f"{dotted} is not a key of a stage: write STAGES.<name>.KEY; stages are {known}")
    node = stages[name]
    for group in path[:-1]:
        node = node.setdefault(group, {})
        if not isinstance(node, dict):
            raise ConfigError(f"{dotted}: {group} is a single value, not a group of keys")
    node[path[-1]] = value


def is_run_wide(key: str) -> bool:
    """Return whether a key on the command line also applies to stages that train their own YAML file."""
    return any(f"{key}.".startswith(f"{prefix}.") for prefix in RUN_WIDE)


def _hold_in_stages(cfg: Any, key: str) -> None:
    """Apply a key of the command line to all stages of this config, and to stages with a CONFIG if it is run-wide."""
    for stage in cfg[_STAGES]:
        if not isinstance(stage, dict):
            continue
        if not stage.get("CONFIG"):
            _remove(stage, key.split("."))
        elif is_run_wide(key) and "NAME" in stage:
            _set_in_stage(cfg, f"{_STAGES}.{stage['NAME']}.{key}", get_key(cfg, key))


def _remove(node: dict[str, Any], path: list[str]) -> None:
    below = node.get(path[0])
    if len(path) == 1:
        node.pop(path[0], None)
    elif isinstance(below, dict):
        _remove(below, path[1:])
