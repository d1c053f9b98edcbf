"""A config that is checked and fits this machine: the one place where both happen, once for each config.

A run comes here first; FastReID's trainer, model and loaders do, too, for those who build them without a run. What was
done is noted on the config beside its keys, with what it was done to, so that a changed copy is looked at again.
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
    """Check a config and return it with a device that exists; one that is so already is returned as it is.

    Args:
        cfg: frozen or not; it is not changed.
        training: check besides what only a training needs.

    Raises:
        ConfigError: one sentence with the key, its value and the way out.
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
    """Return the config with a device that exists, see `resolve_device`; one that has it is returned as it is."""
    if vars(cfg).get(_SETTLED) != _device_facts(cfg):
        cfg = resolve_device(cfg)
        vars(cfg)[_SETTLED] = _device_facts(cfg)
    return cfg


def _digest(cfg: Any) -> str:
    """Return what tells two configs apart; the number of processes is checked with them."""
    return hashlib.sha256(f"{comm.get_world_size()}\n{cfg.dump()}".encode()).hexdigest()


def _device_facts(cfg: Any) -> tuple[Any, ...]:
    amp = cfg.SOLVER.AMP
    return str(cfg.MODEL.DEVICE), amp.ENABLED, amp.DTYPE, comm.get_world_size()
