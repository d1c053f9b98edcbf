"""Several stages of training in one run.

``STAGES`` in a config is a list of mappings, which are trained one after the other. Each stage starts from the final
weights of the stage before and has its own optimizer, schedule, sampler and losses, as its overrides say::

    STAGES:
      - NAME: softmax                    # its files go to OUTPUT_DIR/softmax; those of the last stage to OUTPUT_DIR
        SOLVER: {MAX_EPOCH: 60}
      - NAME: metric
        MODEL: {LOSSES: {NAME: [TripletLoss]}}

In addition to NAME and config keys, a stage may have

- CONFIG: a YAML file (or the config key that names one) that replaces this config, if the stage trains another model;
- TAKES: keys, or prefixes of keys, whose values such a stage takes from this config, e.g. ``[DATASETS]``;
- WEIGHTS_KEY: the key that names the weights of the stage before, ``MODEL.WEIGHTS`` by default;
- REUSE: True if a finished or interrupted run of the stage is to be reused even without ``--resume``.

In a YAML file with a ``_BASE_``, a stage extends the stage of the same name in the base. On the command line,
``KEY VALUE`` applies to all stages; in stages with a CONFIG, only the keys in TAKES and those about data and machine
(:data:`fastreid_projects.config.reading.RUN_WIDE`) do. ``STAGES.<name>.KEY VALUE`` applies to one stage.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils import comm

from fastreid_projects.config import all_keys, config_leaves, get_key, set_key
from fastreid_projects.config.plugin_names import PLUGINS, plugin_opts
from fastreid_projects.config.reading import is_run_wide, load_with_sources
from fastreid_projects.config.ready import ready
from fastreid_projects.contract import ChecksConfig
from fastreid_projects.engine.rehearsal import rehearse, rehearse_first, write_stand_in
from fastreid_projects.engine.trainer import final_weights
from fastreid_projects.errors import ConfigError, DataError, WeightsError
from fastreid_projects.host.modeling.meta_arch.losses import known_losses
from fastreid_projects.losses import LOSSES, build_losses, check_loss_names

logger = logging.getLogger("fastreid.projects.stages")

STAGE_KEYS = ("NAME", "CONFIG", "TAKES", "WEIGHTS_KEY", "REUSE")
WEIGHTS = "MODEL.WEIGHTS"
_RUNS = "the run's"  # marks a value that a stage takes from the config of the run
LAST = "last_checkpoint"  # the file that names the checkpoint to resume from


class Stage(NamedTuple):
    """One stage of a run.

    Attributes:
        name: the name of the stage; "" in a run of one stage.
        cfg: the whole config of the stage, without STAGES.
        weights_key: the config key that names the weights of the stage before.
        reuse: whether to continue an earlier run of the stage even without ``--resume``.
        config_file: the YAML file that the stage trains instead of the config of the run; "" if there is none.
        sources: where the values of that YAML file come from, see :class:`SourcedConfig`.
    """

    name: str
    cfg: Any
    weights_key: str = WEIGHTS
    reuse: bool = False
    config_file: str = ""
    sources: Mapping[str, str] = MappingProxyType({})


def build_stages(cfg: Any) -> list[Stage]:
    """Return the stages of a config, at least one; the OUTPUT_DIR of the last one is that of the config.

    Leading stages that train another model (with a CONFIG) are left out if the config already names their weights.

    Raises:
        ConfigError: an entry of STAGES cannot be used or has an unknown key.
    """
    entries = cfg.get("STAGES", [])
    if not entries:
        return [Stage("", cfg)]
    _check_entries(entries)
    entries = entries[_unneeded(cfg, entries) :]
    return [_build_stage(cfg, entry, last=entry is entries[-1]) for entry in entries]


def _check_entries(entries: Any) -> None:
    names = []
    for entry in entries:
        name = entry.get("NAME") if isinstance(entry, Mapping) else None
        if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
            raise ConfigError(
                f"STAGES holds {entry!r}; a stage is a mapping with a NAME of letters and digits"
            )
        for key in ("OUTPUT_DIR", PLUGINS, "STAGES"):
            if key in entry:
                raise ConfigError(f"STAGES {name}: {key} belongs to the whole run; leave it out of the stage")
        names.append(name)
    if len(set(names)) < len(names):
        raise ConfigError(f"STAGES has two stages with the same NAME: {', '.join(names)}")


def _unneeded(cfg: Any, entries: list[Any]) -> int:
    """Return how many leading stages produce weights that the config already names."""
    own = next((i for i, entry in enumerate(entries) if not entry.get("CONFIG")), len(entries) - 1)
    if get_key(cfg, WEIGHTS):
        return own
    given = [i for i in range(1, own + 1) if get_key(cfg, entries[i].get("WEIGHTS_KEY", WEIGHTS))]
    return given[-1] if given else 0


def _build_stage(cfg: Any, entry: Mapping[str, Any], *, last: bool) -> Stage:
    name, given = entry["NAME"], entry.get("CONFIG", "")
    path = get_key(cfg, given) if given in all_keys(cfg) else given
    sources: dict[str, str] = {}
    if given:
        stage, sources = load_with_sources(path, plugin_opts(cfg))
        for key in _taken(cfg, stage, entry):
            set_key(stage, key, get_key(cfg, key), f"STAGES {name}: ")
            sources[key] = _RUNS
        if cfg[PLUGINS]:
            sources[PLUGINS] = _RUNS
    else:
        stage = cfg.clone()
        stage.defrost()
    stage.STAGES = []
    for key, value in config_leaves({k: v for k, v in entry.items() if k not in STAGE_KEYS}):
        set_key(stage, key, value, f"STAGES {name}: ")
        runs = is_run_wide(key) and get_key(cfg, key) == get_key(stage, key)
        sources[key] = _RUNS if runs else f"STAGES {name}"
    stage.OUTPUT_DIR = cfg.OUTPUT_DIR if last else os.path.join(cfg.OUTPUT_DIR, name)
    sources["OUTPUT_DIR"] = f"STAGES {name}"
    key = entry.get("WEIGHTS_KEY", WEIGHTS)
    if key not in all_keys(stage):
        raise ConfigError(f"STAGES {name}: WEIGHTS_KEY names {key}, which is not a config key")
    return Stage(name, stage, key, bool(entry.get("REUSE", False)), path, sources)


def untaken(stages: Sequence[Stage], opts: Sequence[str]) -> list[str]:
    """Return a sentence for each stage that trains its own YAML file, naming the keys that have no effect there.

    Args:
        stages: the stages to train.
        opts: ``[KEY, VALUE, ...]`` from the command line.
    """
    keys = [
        key
        for key in opts[0::2]
        if key not in ("OUTPUT_DIR", PLUGINS, WEIGHTS) and not key.startswith("STAGES")
    ]
    sentences = []
    for stage in (stage for stage in stages if stage.config_file):
        lost = [key for key in keys if stage.sources.get(key) not in (_RUNS, f"STAGES {stage.name}")]
        if lost:
            sentences.append(
                f"Stage {stage.name} trains {stage.config_file}, where {', '.join(lost)} from the command line "
                f"{'have' if len(lost) > 1 else 'has'} no effect; STAGES.{stage.name}.{lost[0]} would set it there"
            )
    return sentences


def _taken(cfg: Any, stage: Any, entry: Mapping[str, Any]) -> list[str]:
    """Return the keys that a stage with a CONFIG takes from the config of the run: seed, device and its TAKES."""
    wanted = entry.get("TAKES", [])
    if not isinstance(wanted, (list, tuple)):
        raise ConfigError(f"STAGES {entry['NAME']}: TAKES is {wanted!r} but has to be a list of config keys")
    both = set(all_keys(cfg)) & set(all_keys(stage))
    taken = ["SEED", "MODEL.DEVICE"]
    for prefix in wanted:
        below = [key for key in all_keys(cfg) if key in both and f"{key}.".startswith(f"{prefix}.")]
        if not below:
            raise ConfigError(f"STAGES {entry['NAME']}: TAKES names {prefix}, which is not a config key")
        taken += below
    return taken


def check_stages(stages: Sequence[Stage]) -> list[Stage]:
    """Check all stages before anything is written: the config of each, the data and weights of the later ones.

    Returns:
        The stages with checked configs; a stage is checked again if it is handed other weights.

    Raises:
        ConfigError: a stage cannot be trained; the message names it.
        DataError: the data of a later stage is missing.
        WeightsError: a later stage would not accept the weights of the stage before.
    """
    checked = []
    for stage in stages:
        with _named(stage):
            stage = stage._replace(cfg=ready(stage.cfg, training=True))
            checked.append(stage)
            names = known_losses(stage.cfg.MODEL.LOSSES.NAME, stage.cfg.MODEL.META_ARCHITECTURE)
            check_loss_names(names, {loss.inputs for loss in LOSSES.values()}, "")
            build_losses(stage.cfg, names)
            architecture = META_ARCH_REGISTRY.get(stage.cfg.MODEL.META_ARCHITECTURE)
            if isinstance(architecture, ChecksConfig):
                architecture.check_config(stage.cfg)
    if len(stages) < 2:
        return checked
    stages = checked
    with tempfile.TemporaryDirectory() as folder:
        weights = os.path.join(folder, "weights.pth")
        with _named(stages[0]):
            model = rehearse_first(stages[0].cfg)
        for done, stage in itertools.pairwise(stages):
            write_stand_in(model, weights)
            rehearsed = stage._replace(cfg=stage.cfg.clone())
            hand_over(done, rehearsed)
            with _named(stage, {weights: final_weights(done.cfg.OUTPUT_DIR)}):
                model = rehearse(rehearsed.cfg, stage.weights_key, weights)
    return checked


@contextlib.contextmanager
def _named(stage: Stage, files: Mapping[str, str] | None = None) -> Iterator[None]:
    """Add the stage to the start of an error message, and call files by the names that they will have."""
    try:
        yield
    except (ConfigError, DataError, WeightsError) as error:
        sentence = f"STAGES {stage.name}: {error}" if stage.name else str(error)
        for path, name in (files or {}).items():
            sentence = sentence.replace(path, name)
        raise type(error)(sentence) from error


def hand_over(done: Stage, stage: Stage) -> None:
    """Let a stage start from the final weights of the stage before, which makes ImageNet weights unnecessary."""
    set_key(stage.cfg, stage.weights_key, final_weights(done.cfg.OUTPUT_DIR), "")
    if stage.weights_key == WEIGHTS:
        stage.cfg.MODEL.BACKBONE.PRETRAIN = False


def is_finished(output_dir: str) -> bool:
    """Return whether the folder holds a finished training run, with its record."""
    try:
        with open(os.path.join(output_dir, LAST), encoding="utf-8") as file:
            last = file.read().strip()
    except (OSError, UnicodeDecodeError):
        return False
    files = (final_weights(output_dir), os.path.join(output_dir, "run.json"))
    return last == os.path.basename(files[0]) and all(map(os.path.isfile, files))


def forget(output_dir: str) -> None:
    """Keep ``--resume`` from continuing an earlier run in this folder; the files of that run stay."""
    path = os.path.join(output_dir, LAST)
    if comm.is_main_process() and os.path.exists(path):
        os.remove(path)
    comm.synchronize()
