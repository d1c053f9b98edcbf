"""The only files that know FastReID's defects. Each mend names the host's file and line."""

from __future__ import annotations

from fastreid_projects.host import imports

_done = False


def mend_host() -> None:
    """Mend the installed host, in place and once; without a host, let a later ``import fastreid`` say how to
    get it.

    Modules of the host that were imported before are mended too, but a function that another module has
    already imported from them by name is not: import ``fastreid_projects`` first.
    """
    global _done
    if _done:
        return
    if not imports.has_host():
        imports.announce_missing_host()
        return
    _done = True  # a mend may import what imports this package
    imports.import_host()
    _mend()


def _mend() -> None:
    # These import the host at their head, which needs imports.import_host() first.
    from fastreid_projects.host.amp import mend_amp
    from fastreid_projects.host.checkpoint import mend_checkpoint
    from fastreid_projects.host.config_check import mend_registry
    from fastreid_projects.host.datasets import mend_datasets
    from fastreid_projects.host.engine import mend_engine
    from fastreid_projects.host.evaluation import mend_evaluation
    from fastreid_projects.host.heads import mend_heads
    from fastreid_projects.host.hooks import mend_hooks
    from fastreid_projects.host.images import mend_images
    from fastreid_projects.host.loaders import mend_loaders
    from fastreid_projects.host.loop import mend_loop
    from fastreid_projects.host.losses import mend_losses
    from fastreid_projects.host.norms import mend_norms
    from fastreid_projects.host.optimizer import mend_optimizer
    from fastreid_projects.host.preprocess import mend_preprocess
    from fastreid_projects.host.pretrain import mend_pretrain
    from fastreid_projects.host.processes import mend_processes
    from fastreid_projects.host.samplers import mend_samplers
    from fastreid_projects.host.shufflenet import mend_shufflenet
    from fastreid_projects.host.step import mend_step

    for mend in (
        mend_registry,
        mend_images,
        mend_datasets,
        mend_samplers,
        mend_loaders,
        mend_preprocess,
        mend_losses,
        mend_heads,
        mend_shufflenet,
        mend_norms,
        mend_pretrain,
        mend_optimizer,
        mend_step,
        mend_amp,
        mend_checkpoint,
        mend_hooks,
        mend_processes,
        mend_loop,
        mend_engine,
        mend_evaluation,
    ):
        mend()
