"""Patches of the host's trainer (engine/defaults.py): its start, resume and end, and the seed."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import os
from collections.abc import Iterator
from typing import IO, Any

from fastreid.config.defaults import _C
from fastreid.engine import defaults, hooks
from fastreid.utils import comm
from fastreid.utils.env import seed_all_rng
from fastreid.utils.file_io import PathManager

from fastreid_projects.config.ranges import MAX_SEED
from fastreid_projects.config.ready import on_this_machine, ready
from fastreid_projects.config.schedule import warmup_iterations
from fastreid_projects.errors import ConfigError, UserError
from fastreid_projects.files import write_aside
from fastreid_projects.host.engine.ddp import EqualStatistics
from fastreid_projects.host.engine.seed_steps import SeedSteps
from fastreid_projects.host.engine.train_loop.amp import set_amp_dtype
from fastreid_projects.host.engine.train_loop.loop import Progress, forget_later_lines
from fastreid_projects.host.engine.update_check import UpdateCheck
from fastreid_projects.host.utils.checkpoint import ALONE, best_since
from fastreid_projects.host_import import rebind
from fastreid_projects.records.record import environment

logger = logging.getLogger("fastreid.projects.host.engine")

_Trainer = defaults.DefaultTrainer
_host_init = _Trainer.__init__
_host_build_hooks = _Trainer.build_hooks
_host_train = _Trainer.train
_host_predictor_init = defaults.DefaultPredictor.__init__
_host_default_setup = defaults.default_setup
_host_auto_scale = _Trainer.auto_scale_hyperparams


def patch_engine() -> None:
    """Patch DefaultTrainer, DefaultPredictor and default_setup; add SEED and SOLVER.AMP.DTYPE to the defaults."""
    _Trainer.__init__ = trainer_init
    _Trainer.build_hooks = build_hooks
    _Trainer.resume_or_load = resume_or_load
    _Trainer.train = train
    _Trainer.auto_scale_hyperparams = staticmethod(auto_scale)
    defaults.DefaultPredictor.__init__ = predictor_init
    if "SEED" not in _C:
        # Seed of all random numbers of a run; -1 draws one, which the run keeps.
        _C.SEED = -1
        # Number format of mixed precision: "float16", or "bfloat16", which CPUs have too.
        _C.SOLVER.AMP.DTYPE = "float16"
    defaults.PathManager = _WholeFiles
    defaults.collect_env_info = environment_info
    rebind(_host_default_setup, default_setup)
    logging.getLogger("fastreid.engine.train_loop").addFilter(_without_traceback)


def environment_info() -> str:
    """Return versions and hardware as JSON; defaults.py:89 loads PyTorch's compiler for it, which warns on stderr."""
    return json.dumps(environment(), indent=1)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Log an error in one line; train_loop.py:143 logs a traceback, which ``--debug`` shows at the end anyway."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        sentence = str(error) if isinstance(error, UserError) else repr(error)
        record.msg, record.args, record.exc_info = "Training stopped: %s", (sentence,), None
    return True


class _WholeFiles(PathManager):
    """Write config.yaml completely or not at all (defaults.py:106)."""

    @staticmethod
    def open(path: str, mode: str = "r", **options: Any) -> Any:
        """Open a file as the host's method does."""
        return _replaced(path) if mode == "w" else PathManager.open(path, mode, **options)


@contextlib.contextmanager
def _replaced(path: str) -> Iterator[IO[str]]:
    text = io.StringIO()
    yield text
    write_aside(path, text.getvalue().encode())


@functools.wraps(_host_init)
def trainer_init(self: Any, cfg: Any) -> None:
    """Check the config, fit it to the machine, and let checkpoints hold scaler and progress (defaults.py:222-229)."""
    cfg = ready(cfg, training=True)
    if cfg.OUTPUT_DIR and comm.is_main_process():
        os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    _host_init(self, cfg)
    self.warmup_iters = warmup_iterations(cfg.SOLVER, self.iters_per_epoch)
    set_amp_dtype(self._trainer, cfg.SOLVER.AMP.DTYPE)
    self._trainer.output_dir = cfg.OUTPUT_DIR
    self.progress = Progress(self)
    self.checkpointer.checkpointables["progress"] = self.progress
    scaler = self.grad_scaler
    if scaler is not None and scaler.is_enabled():
        self.checkpointer.checkpointables["grad_scaler"] = scaler


@functools.wraps(_host_auto_scale)
def auto_scale(cfg: Any, num_classes: int) -> Any:
    """Set MODEL.HEADS.NUM_CLASSES 0 to the number of identities; defaults.py:458 accepts any other value unchecked.

    Raises:
        ConfigError: there are fewer classes than the training set has identities.
    """
    if 0 < cfg.MODEL.HEADS.NUM_CLASSES < num_classes:
        raise ConfigError(
            f"MODEL.HEADS.NUM_CLASSES is {cfg.MODEL.HEADS.NUM_CLASSES} but the training set "
            f"({', '.join(cfg.DATASETS.NAMES)}) has {num_classes} identities: leave it 0 to use their number."
        )
    return _host_auto_scale(cfg, num_classes)


@functools.wraps(_host_predictor_init)
def predictor_init(self: Any, cfg: Any) -> None:
    """Predict on a device that exists (defaults.py:141)."""
    _host_predictor_init(self, on_this_machine(cfg))


@functools.wraps(_host_build_hooks)
def build_hooks(self: Any) -> list[Any]:
    """Add hooks that seed steps, check the first update, and average statistics before an evaluation.

    defaults.py:322 has none of these.
    """
    timer, *others = _host_build_hooks(self)
    evaluation = next(i for i, hook in enumerate(others) if isinstance(hook, hooks.EvalHook))
    check = UpdateCheck(self.cfg.MODEL.FREEZE_LAYERS, self.cfg.SOLVER.FREEZE_ITERS)
    return [timer, SeedSteps(), check, *others[:evaluation], EqualStatistics(), *others[evaluation:]]


def resume_or_load(self: Any, resume: bool = True) -> None:
    """Resume from the last checkpoint in OUTPUT_DIR, or load MODEL.WEIGHTS.

    In addition to the host's state (defaults.py:245-263), this restores the random numbers, the order of the images,
    the best metric (utils/checkpoint.py:317 starts at -1 and overwrites model_best) and the count of
    SOLVER.FREEZE_ITERS. A checkpoint may have been saved within an epoch.
    """
    checkpoint = self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume)
    if not (resume and self.checkpointer.has_checkpoint()):
        return
    self.start_epoch = checkpoint.get("epoch", -1) + 1
    if checkpoint.get(ALONE) and self.start_epoch < self.max_epoch:
        raise ConfigError(
            f"{self.checkpointer.get_checkpoint_file()} holds the model of a finished run without its optimizer "
            "(SOLVER.KEEP_CHECKPOINTS False): train further from it without --resume, with it as MODEL.WEIGHTS"
        )
    self.progress.start_from(self.start_epoch, checkpoint.get("hooks_done", 0))
    if comm.is_main_process():
        forget_later_lines(os.path.join(self.cfg.OUTPUT_DIR, "metrics.json"), self.progress.done)
    best = max(
        checkpoint.get("best_metric", checkpoint.get("metric", -1)),
        best_since(self.checkpointer.get_checkpoint_file()),
    )
    for hook in self._hooks:
        if isinstance(hook, hooks.PeriodicCheckpointer):
            hook.best_metric = best
    if hasattr(self.optimizer, "steps_done"):
        self.optimizer.steps_done = self.progress.done


@functools.wraps(_host_train)
def train(self: Any) -> Any:
    """Train; a run that is already finished is only evaluated (hooks.py:380 fails there).

    Returns:
        The results of the last evaluation, on the main process.
    """
    if self.start_epoch < self.max_epoch:
        return _host_train(self)
    logger.warning(
        f"The run in {self.cfg.OUTPUT_DIR} is finished ({self.start_epoch} of SOLVER.MAX_EPOCH "
        f"{self.max_epoch} epochs): only evaluating. Raise SOLVER.MAX_EPOCH to continue training."
    )
    self._last_eval_results = self.test(self.cfg, self.model)
    return self._last_eval_results if comm.is_main_process() else None


@functools.wraps(_host_default_setup)
def default_setup(cfg: Any, args: Any) -> None:
    """Do the host's setup, then seed by ``cfg.SEED`` (-1: random); defaults.py:111 always seeds at random."""
    _host_default_setup(cfg, args)
    apply_seed(cfg)


def apply_seed(cfg: Any) -> None:
    """Seed ``random``, NumPy and PyTorch with SEED plus the rank, modulo 2**32; a negative SEED leaves them alone.

    Processes differ in their augmentation. They do not differ in their weights, which DistributedDataParallel copies
    from the first one, or in their samplers, which agree on a seed (utils/comm.py:215).
    """
    if cfg.SEED >= 0:
        seed_all_rng((cfg.SEED + comm.get_rank()) % (MAX_SEED + 1))
        logger.info(f"Seeded with SEED {cfg.SEED} + rank {comm.get_rank()}")
