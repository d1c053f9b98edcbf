"""Patches of FastReID, in FastReID's own tree: that of ``fastreid/engine/hooks.py`` is ``host/engine/hooks.py``.

They are the only files that know its defects; each names the host's file and line. They come when the host is imported
(:mod:`.imports`), or at once where it was imported before.
"""

from __future__ import annotations

import importlib
import sys

from fastreid_projects.host import imports

_done = False


def watch_host() -> None:
    """Patch the host as soon as it is imported, at once where it has been; without one its import says how to get it.

    Modules of the host that were imported before are patched too, but not what others have already taken from them by
    name: a warning names it.
    """
    if imports.HOST in sys.modules:
        patch_host()
    elif imports.has_host():
        imports.patch_when_imported(patch_host)
    else:
        imports.announce_missing_host()


def patch_host() -> None:
    """Import the host and patch it, in place and once; nothing where there is none."""
    global _done
    if _done or not imports.has_host():
        return
    late = imports.HOST in sys.modules
    importlib.import_module(imports.HOST)  # patches it by way of watch_host, if this is the first import
    if _done:
        return
    _done = True  # a patch may import what asks for the patched host
    try:
        imports.import_host()
        _apply_patches()
    except BaseException:
        _done = False
        raise
    if late:
        imports.warn_of_stale_names()


def _apply_patches() -> None:
    # These import the host at their head, which needs imports.import_host() first.
    from fastreid_projects.host.data.build import patch_loaders
    from fastreid_projects.host.data.common import patch_dataset
    from fastreid_projects.host.data.data_utils import patch_images
    from fastreid_projects.host.data.datasets import patch_datasets
    from fastreid_projects.host.data.samplers import patch_samplers
    from fastreid_projects.host.data.transforms import patch_transforms
    from fastreid_projects.host.engine.ddp import patch_ddp
    from fastreid_projects.host.engine.defaults import patch_engine
    from fastreid_projects.host.engine.hooks import patch_hooks
    from fastreid_projects.host.engine.train_loop.amp import patch_amp
    from fastreid_projects.host.engine.train_loop.loop import patch_loop
    from fastreid_projects.host.engine.train_loop.step import patch_step
    from fastreid_projects.host.evaluation.evaluator import patch_inference_context
    from fastreid_projects.host.evaluation.reid_evaluation import patch_evaluation
    from fastreid_projects.host.layers.batch_norm import patch_norms
    from fastreid_projects.host.layers.pooling import patch_pooling
    from fastreid_projects.host.modeling.backbones.build import patch_pretrain
    from fastreid_projects.host.modeling.backbones.shufflenet import patch_shufflenet
    from fastreid_projects.host.modeling.heads.embedding_head import patch_heads
    from fastreid_projects.host.modeling.meta_arch.baseline import patch_preprocess
    from fastreid_projects.host.modeling.meta_arch.build import patch_build_model
    from fastreid_projects.host.modeling.meta_arch.losses import patch_losses
    from fastreid_projects.host.solver.build import patch_optimizer
    from fastreid_projects.host.utils.checkpoint import patch_checkpoint
    from fastreid_projects.host.utils.comm import patch_processes
    from fastreid_projects.host.utils.events import patch_events
    from fastreid_projects.host.utils.registry import patch_registry

    for patch in (
        patch_registry,
        patch_images,
        patch_dataset,
        patch_transforms,
        patch_datasets,
        patch_samplers,
        patch_loaders,
        patch_preprocess,
        patch_build_model,
        patch_losses,
        patch_pooling,
        patch_heads,
        patch_shufflenet,
        patch_norms,
        patch_pretrain,
        patch_optimizer,
        patch_step,
        patch_amp,
        patch_checkpoint,
        patch_hooks,
        patch_events,
        patch_processes,
        patch_ddp,
        patch_loop,
        patch_engine,
        patch_inference_context,
        patch_evaluation,
    ):
        patch()
