"""Patches of engine/hooks.py: when training is evaluated and saved, and when layers are frozen."""

from __future__ import annotations

import functools
from typing import Any

from fastreid.engine import hooks
from fastreid.utils import events
from torch import nn

from fastreid_projects.host.engine.train_loop.loop import evaluation, saved_where_it_fails
from fastreid_projects.host.solver.build import check_layers

_host_freeze_init = hooks.LayerFreeze.__init__


def patch_hooks() -> None:
    """Patch the hooks in place."""
    hooks.EvalHook.after_epoch = evaluate_after_epoch
    hooks.EvalHook.after_train = forget_evaluation
    hooks.PeriodicCheckpointer.before_train = name_metric
    hooks.PeriodicCheckpointer.after_epoch = checkpoint_after_epoch
    hooks.LayerFreeze.__init__ = freeze_init
    hooks.LayerFreeze.before_step = freeze_before_step
    hooks.LayerFreeze.freeze_specific_layer = freeze_layers
    hooks.LayerFreeze.open_all_layer = open_layers


def evaluate_after_epoch(self: Any) -> None:
    """Evaluate every TEST.EVAL_PERIOD epochs and after the last; 0 means only after the last.

    hooks.py:382 divides by a period of 0, and evaluates the last epoch after its checkpoint is written, so
    that it may miss the best model.
    """
    epoch = self.trainer.epoch + 1
    if epoch >= self.trainer.max_epoch or (self._period > 0 and epoch % self._period == 0):
        with evaluation(), saved_where_it_fails(self.trainer):
            self._do_eval()


def forget_evaluation(self: Any) -> None:
    """Drop the reference to the trainer, as the last evaluation is done by now."""
    del self._func


def name_metric(self: Any) -> None:
    """Choose the metric that selects the best model; hooks.py:205 needs at least one test set."""
    self.max_epoch = self.trainer.max_epoch
    self.keeps_all = self.checkpointer.keeps_all = self.trainer.cfg.SOLVER.KEEP_CHECKPOINTS
    tests = self.trainer.cfg.DATASETS.TESTS
    self.metric_name = f"{tests[0]}/metric" if len(tests) > 1 else "metric"


def checkpoint_after_epoch(self: Any) -> None:
    """Save with the metric of exactly these weights; hooks.py:213 also uses that of an earlier epoch."""
    storage = events.get_event_storage()
    value, iteration = storage.latest().get(self.metric_name, (-1, storage.iter))
    self.step(self.trainer.epoch, metric=value if iteration == storage.iter else -1)


@functools.wraps(_host_freeze_init)
def freeze_init(self: Any, model: nn.Module, freeze_layers: Any, freeze_iters: int) -> None:
    """Refuse a layer that does not exist (hooks.py:481 only logs it)."""
    _host_freeze_init(self, model, freeze_layers, freeze_iters)
    check_layers(self.model, freeze_layers)


def freeze_before_step(self: Any) -> None:
    """Keep frozen layers in evaluation mode; hooks.py:471 sets the mode once, and an evaluation undoes it."""
    if self.trainer.iter < self.freeze_iters:
        if not self.is_frozen:
            self.freeze_specific_layer()
        _set_mode(self, training=False)
    elif self.is_frozen:
        self.open_all_layer()


def freeze_layers(self: Any) -> None:
    """Put frozen layers in evaluation mode, including nested ones (unlike hooks.py:485), and log their names."""
    _set_mode(self, training=False)
    self.is_frozen = True
    names = ", ".join(self.freeze_layers)
    self._logger.info(f'Freeze layer group "{names}" training for {self.freeze_iters:d} iterations')


def open_layers(self: Any) -> None:
    """Put the layers back in training mode."""
    _set_mode(self, training=True)
    self.is_frozen = False
    self._logger.info(f'Open layer group "{", ".join(self.freeze_layers)}" training')


def _set_mode(hook: Any, *, training: bool) -> None:
    """Switch the modules that hold statistics or draw; the mode of a whole head says whether it returns logits."""
    for name in hook.freeze_layers:
        for module in hook.model.get_submodule(name).modules():
            if next(module.children(), None) is None:
                module.train(training)
