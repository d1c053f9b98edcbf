"""Check a config and fit it to this machine, once for each config and only here.

A run does this first, and so do FastReID's trainer, model and loaders for those who build them without a run. What was
done is noted on the config beside its keys, with a digest of the config, so that a changed copy is checked again.
"""

from __future__ import annotations

import hashlib
from typing import Any

from fastreid.utils import comm

from fastreid_projects.config.checks import check_host_config, check_training_config
from fastreid_projects.device import resolve_device

_CHECKED = "_checked"
_SETTLED = "_settled"


def ready(cfg: Any, *, training: bool = False) -> Any:
    """Check a config and return it with a device that exists; a config that was checked before is returned as it is.

    Args:
        cfg: the config, which is not changed; it may be frozen.
        training: whether to check what only training needs, too.

    Raises:
        ConfigError: a value is wrong; the message names the key, its value and a way out.
    """
    checks = {"model": check_host_config, "training": check_training_config}
    wanted = {name: checks[name] for name in ("model", "training")[: 1 + training]}
    before = _digest(cfg)
    done = {name for name, digest in vars(cfg).get(_CHECKED, {}).items() if digest == before}
    for name, check in wanted.items():
        if name not in done:
            check(cfg)
    cfg = on_this_machine(cfg)
    after = _digest(cfg)
    vars(cfg)[_CHECKED] = dict.fromkeys(done | wanted.keys(), after)
    return cfg


def on_this_machine(cfg: Any) -> Any:
    """Return the config with a device that exists, see `resolve_device`; a config that has one is returned as it is."""
    if vars(cfg).get(_SETTLED) != _device_facts(cfg):
        cfg = resolve_device(cfg)
        vars(cfg)[_SETTLED] = _device_facts(cfg)
    return cfg


def _digest(cfg: Any) -> str:
    """Return a digest of a config and of the number of processes, with which it is checked."""
    return hashlib.sha256(f"{comm.get_world_size()}\n{cfg.dump()}".encode()).hexdigest()


def _device_facts(cfg: Any) -> tuple[Any, ...]:
    amp = cfg.SOLVER.AMP
    return str(cfg.MODEL.DEVICE), amp.ENABLED, amp.DTYPE, comm.get_world_size()
