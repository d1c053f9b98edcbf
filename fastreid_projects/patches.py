"""When the host (``fastreid``) is patched, and the only list of the patches in :mod:`fastreid_projects.host`.

They are applied when the host is imported, or at once if it was imported before.
"""

from __future__ import annotations

import importlib
import sys

from fastreid_projects import host_import

# "module:function", in the order in which they are applied.
PATCHES = (
    "fastreid_projects.host.config.config:patch_config",
    "fastreid_projects.host.utils.logger:patch_logger",
    "fastreid_projects.host.utils.registry:patch_registry",
    "fastreid_projects.host.data.data_utils:patch_images",
    "fastreid_projects.host.data.common:patch_dataset",
    "fastreid_projects.host.data.transforms:patch_transforms",
    "fastreid_projects.host.data.datasets:patch_datasets",
    "fastreid_projects.host.data.samplers:patch_samplers",
    "fastreid_projects.host.data.build:patch_loaders",
    "fastreid_projects.host.modeling.meta_arch.baseline:patch_preprocess",
    "fastreid_projects.host.modeling.meta_arch.build:patch_build_model",
    "fastreid_projects.host.modeling.losses.triplet_loss:patch_triplet",
    "fastreid_projects.host.modeling.meta_arch.losses:patch_losses",
    "fastreid_projects.host.layers.any_softmax:patch_softmax",
    "fastreid_projects.host.layers.pooling:patch_pooling",
    "fastreid_projects.host.modeling.heads.embedding_head:patch_heads",
    "fastreid_projects.host.modeling.backbones.shufflenet:patch_shufflenet",
    "fastreid_projects.host.layers.batch_norm:patch_norms",
    "fastreid_projects.host.modeling.backbones.build:patch_pretrain",
    "fastreid_projects.host.solver.build:patch_optimizer",
    "fastreid_projects.host.engine.train_loop.step:patch_step",
    "fastreid_projects.host.engine.train_loop.amp:patch_amp",
    "fastreid_projects.host.utils.checkpoint:patch_checkpoint",
    "fastreid_projects.host.engine.hooks:patch_hooks",
    "fastreid_projects.host.utils.events:patch_events",
    "fastreid_projects.host.utils.comm:patch_processes",
    "fastreid_projects.host.engine.ddp:patch_ddp",
    "fastreid_projects.host.engine.train_loop.loop:patch_loop",
    "fastreid_projects.host.engine.defaults:patch_engine",
    "fastreid_projects.host.evaluation.evaluator:patch_inference_context",
    "fastreid_projects.host.evaluation.reid_evaluation:patch_evaluation",
)
_done = False


def watch_host() -> None:
    """Patch the host when it is imported, or now if it has been; if it is missing, its import says how to install it.

    If the host was imported before, its modules are patched, but not the names that others have already imported from
    them: a warning lists these.
    """
    host_import.patch_when_imported(_patch_once)
    if host_import.HOST in sys.modules:
        _patch_once()
        host_import.warn_of_stale_names()


def patch_host() -> None:
    """Import the host, which patches it; do nothing if it is not installed.

    A thread that calls this while another one patches waits for it.
    """
    if host_import.has_host():
        importlib.import_module(host_import.HOST)
        _patch_once()  # another finder may have come before that of watch_host


def _patch_once() -> None:
    global _done
    if _done:
        return
    _done = True  # a patch may import something that asks for the patched host
    try:
        host_import.import_host()
        apply_patches()
    except BaseException:
        _done = False
        raise


def apply_patches() -> None:
    """Import and call all of PATCHES."""
    for name in PATCHES:
        module, function = name.split(":")
        getattr(importlib.import_module(module), function)()
