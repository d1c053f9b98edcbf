"""Starting and stopping within an epoch."""

import json
import os
import signal

import pytest
import torch
from fastreid.engine import DefaultTrainer, hooks
from fastreid.engine.train_loop import HookBase
from fastreid.utils.checkpoint import Checkpointer

from fastreid_projects import interrupts
from fastreid_projects.errors import InterruptedRunError
from fastreid_projects.host.engine.defaults import apply_seed
from fastreid_projects.host.engine.train_loop.loop import forget_later_lines


class At(HookBase):
    """Sends signals to this process in the middle of an iteration, or of an evaluation."""

    def __init__(self, iteration, *signals):
        self.iteration, self.signals = iteration, signals

    def before_step(self):
        if self.trainer.iter == self.iteration:
            for signum in self.signals:
                os.kill(os.getpid(), signum)


AUGMENTED = ("INPUT.REA.ENABLED", True, "INPUT.FLIP.ENABLED", True, "SOLVER.MAX_EPOCH", 3)


@pytest.fixture
def train(tiny_market, tiny_cfg, tmp_path):
    """Train three epochs of two iterations into a folder of that name."""
    tiny_market()

    def run(name, *signals, at=-1, resume=False, seed=1, opts=()):
        cfg = tiny_cfg(*AUGMENTED, *opts, "OUTPUT_DIR", str(tmp_path / name), "SEED", seed)
        with interrupts.heeded():
            apply_seed(cfg)
            trainer = DefaultTrainer(cfg)
            trainer.register_hooks([At(at, *signals)])
            trainer.resume_or_load(resume)
            trainer.train()
        return torch.load(tmp_path / name / "model_final.pth", weights_only=True)

    return run


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.mark.parametrize(("signum", "at"), [(signal.SIGINT, 2), (signal.SIGTERM, 3), (signal.SIGINT, 0)])
def test_a_signal_saves_and_the_resumed_training_is_the_same(train, tmp_path, signum, at):
    straight = train("straight")
    before = signal.getsignal(signum)
    with pytest.raises(InterruptedRunError, match=rf"after iteration {at + 1} of 6.* --resume") as caught:
        train("stopped", signum, at=at)
    assert caught.value.exit_code == 128 + signum
    assert signal.getsignal(signum) is before
    assert (tmp_path / "stopped" / "last_checkpoint").read_text() == (
        "model_interrupted.pth" if at < 5 else "model_final.pth"
    )
    assert equal(train("stopped", resume=True, seed=99), straight), "its seed is the checkpoint's"


@pytest.mark.parametrize(
    "opts",
    [
        ("DATALOADER.NUM_WORKERS", 2, "DATALOADER.SAMPLER_TRAIN", "ImbalancedDatasetSampler"),
        (
            "SOLVER.AMP.ENABLED",
            True,
            "SOLVER.AMP.DTYPE",
            "bfloat16",
            "MODEL.HEADS.POOL_LAYER",
            "GeneralizedMeanPoolingP",
        ),
        ("SOLVER.SCHED", "CosineAnnealingLR", "SOLVER.WARMUP_ITERS", 3, "SOLVER.OPT", "SGD"),
        ("MODEL.FREEZE_LAYERS", ["backbone"], "SOLVER.FREEZE_ITERS", 4, "SOLVER.CHECKPOINT_PERIOD", 2),
        ("TEST.EVAL_PERIOD", 2, "TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.NUM_ITER", 2),
    ],
    ids=lambda opts: opts[0],
)
def test_whatever_has_a_state_goes_on(train, opts):
    straight = train("straight", opts=opts)
    with pytest.raises(InterruptedRunError):
        train("stopped", signal.SIGINT, at=2, opts=opts)
    assert equal(train("stopped", resume=True, opts=opts), straight)


def test_an_evaluation_is_given_up_and_made_up_for(train, monkeypatch, tmp_path):
    straight = train("straight")
    test, calls = DefaultTrainer.test, []

    def interrupted_test(cfg, model):
        calls.append(cfg)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return test(cfg, model)

    monkeypatch.setattr(DefaultTrainer, "test", staticmethod(interrupted_test))
    with pytest.raises(InterruptedRunError, match="after iteration 4 of 6"):
        train("stopped")
    assert torch.load(tmp_path / "stopped" / "model_interrupted.pth", weights_only=True)["epoch"] == 0
    assert equal(train("stopped", resume=True), straight)
    assert len(calls) == 4, "the second evaluation is made again"


def test_a_second_signal_ends_at_once(train, monkeypatch):
    def end(code):
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(SystemExit) as caught:
        train("stopped", signal.SIGINT, signal.SIGINT, at=2)
    assert caught.value.code == 130


@pytest.mark.parametrize("signum", interrupts.PASSED_ON)
def test_what_arrives_by_two_ways_is_one_request(train, signum):
    """From the terminal, and passed on by the process that started this one."""
    for order in ((signum, interrupts.PASSED_ON[signum]), (interrupts.PASSED_ON[signum], signum)):
        with pytest.raises(InterruptedRunError, match=r"saved as .*model_interrupted") as caught:
            train("stopped", *order, at=2)
        assert caught.value.exit_code == 128 + signum


def test_what_is_passed_on_twice_ends_at_once(train, monkeypatch):
    def end(code):
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(SystemExit) as caught:
        train("stopped", signal.SIGUSR1, signal.SIGINT, signal.SIGUSR1, at=2)
    assert caught.value.code == 130


def test_a_signal_in_the_last_epochs_end_leaves_a_finished_training(train, monkeypatch, tmp_path):
    step = hooks.PeriodicCheckpointer.step

    def interrupted_step(self, epoch, **kwargs):
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        step(self, epoch, **kwargs)

    monkeypatch.setattr(hooks.PeriodicCheckpointer, "step", interrupted_step)
    with pytest.raises(InterruptedRunError, match="all weights are saved"):
        train("stopped")
    assert (tmp_path / "stopped" / "last_checkpoint").read_text() == "model_final.pth"


def test_outside_of_a_training_a_signal_is_answered_at_once():
    with pytest.raises(InterruptedRunError, match=r"Interrupted\. Resume with"), interrupts.heeded():
        os.kill(os.getpid(), signal.SIGTERM)


def test_what_cannot_be_resumed_says_no_command():
    with pytest.raises(InterruptedRunError) as caught, interrupts.heeded(resumes=False):
        os.kill(os.getpid(), signal.SIGTERM)
    assert str(caught.value) == "Interrupted"
    assert caught.value.exit_code == 143


@pytest.mark.parametrize(
    ("machines", "start"),
    [
        ("1", "torchrun --standalone --nproc_per_node 4 "),
        ("2", "the same torchrun command on every machine, ending in "),
    ],
)
def test_the_command_to_go_on_with_by_torchrun(machines, start, monkeypatch):
    environment = {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "4", "GROUP_WORLD_SIZE": machines}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["tools/train_net.py", "--config-file", "a.yml"])
    assert interrupts.resume_command() == start + "tools/train_net.py --resume --config-file a.yml"


def test_the_command_to_go_on_with(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    words = ["tools/train_net.py", "--config-file", "a.yml", "DATASETS.NAMES", "('A',)"]
    for argv in (words, [words[0], "--resume", *words[1:]]):
        monkeypatch.setattr("sys.argv", argv)
        assert interrupts.resume_command() == (
            "python tools/train_net.py --resume --config-file a.yml DATASETS.NAMES '('\"'\"'A'\"'\"',)'"
        )


def test_another_batch_size_goes_on_with_the_epoch(train, tmp_path):
    with pytest.raises(InterruptedRunError):
        train("stopped", signal.SIGINT, at=2)
    train("stopped", resume=True, opts=("SOLVER.IMS_PER_BATCH", 4))
    lines = (tmp_path / "stopped" / "metrics.json").read_text().splitlines()
    assert json.loads(lines[-1])["iteration"] == 11


def test_the_best_model_is_not_what_a_resume_goes_on_from(tmp_path):
    checkpointer = Checkpointer(torch.nn.Linear(1, 1), str(tmp_path))
    checkpointer.save("model_0000")
    checkpointer.save("model_best")
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000.pth"


def test_lines_that_are_written_again_are_forgotten(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text('{"iteration": 1}\n{"iteration": 3}\n{"iteration": 5}\n{"itera')
    with open(path, "a") as file:  # the host has it open
        forget_later_lines(str(path), 4)
        file.write('{"iteration": 5}\n')
    assert path.read_text() == '{"iteration": 1}\n{"iteration": 3}\n{"iteration": 5}\n'
    forget_later_lines(str(tmp_path / "none"), 4)
