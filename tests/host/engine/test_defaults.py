"""The host's own trainer, unmodified, on a tiny Market-1501 on the CPU."""

import argparse
import logging
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.engine import DefaultPredictor, DefaultTrainer, default_setup, hooks
from fastreid.engine import defaults as host_defaults
from fastreid.utils import comm

from fastreid_projects.errors import ConfigError, DataError, TrainingError
from fastreid_projects.host.engine.defaults import apply_seed
from fastreid_projects.host.engine.update_check import UpdateCheck

ARGS = argparse.Namespace(config_file="", eval_only=False)


def run(cfg, resume=False):
    apply_seed(cfg)
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume)
    return trainer, trainer.train()


def test_the_largest_seed_of_a_second_process(tiny_cfg, monkeypatch):
    monkeypatch.setattr(comm, "get_rank", lambda: 1)
    apply_seed(tiny_cfg("SEED", 2**32 - 1))
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))


def states(trainer):
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def test_a_training_moves_its_weights_and_evaluates(tiny_market, tiny_cfg, resnet18):
    tiny_market()
    trainer = DefaultTrainer(tiny_cfg(*resnet18, "TEST.FLIP.ENABLED", True))
    before = states(trainer)
    results = trainer.train()
    moved = {name for name, value in trainer.model.named_parameters() if not torch.equal(before[name], value)}
    assert moved == {name for name, value in trainer.model.named_parameters() if value.requires_grad}
    assert 0 <= results["mAP"] <= 100
    assert [hook.done for hook in trainer._hooks if isinstance(hook, UpdateCheck)] == [True]
    assert trainer.model.training


def test_a_seed_makes_runs_bit_identical(tiny_market, tiny_cfg, unpatched):
    assert unpatched["seed_key"] is False
    tiny_market()
    opts = (
        "INPUT.REA.ENABLED",
        True,
        "INPUT.FLIP.ENABLED",
        True,
        "INPUT.AUGMIX.ENABLED",
        True,
        "INPUT.AUGMIX.PROB",
        1.0,
    )
    for workers in (0, 2):
        weights = []
        for seed in (3, 3, 4):
            cfg = tiny_cfg(*opts, "SEED", seed, "DATALOADER.NUM_WORKERS", workers, "DATASETS.TESTS", ())
            weights.append(states(run(cfg)[0]))
        same = [torch.equal(weights[0][name], weights[1][name]) for name in weights[0]]
        assert all(same)
        assert not torch.equal(weights[0]["heads.weight"], weights[2]["heads.weight"])


def draw():
    return random.random(), float(np.random.rand()), torch.rand(1).item()


@pytest.fixture
def _quiet_setup(monkeypatch):
    monkeypatch.setattr(host_defaults, "setup_logger", lambda *args, **kwargs: logging.getLogger("fastreid"))
    monkeypatch.setattr(host_defaults, "collect_env_info", lambda: "")


@pytest.mark.usefixtures("_quiet_setup")
def test_default_setup_seeds(tiny_cfg):
    drawn = []
    for seed in (5, 5, 6, -1, -1):
        default_setup(tiny_cfg("SEED", seed), ARGS)
        drawn.append(draw())
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 4
    assert "SEED: -1" in Path(tiny_cfg().OUTPUT_DIR, "config.yaml").read_text()


@pytest.mark.parametrize("iterations", [1, 2])
def test_runs_of_one_and_two_iterations(iterations, tiny_market, tiny_cfg):
    tiny_market()
    cfg = tiny_cfg(
        "SOLVER.IMS_PER_BATCH", 16 // iterations, "TEST.EVAL_PERIOD", 0, "SOLVER.CHECKPOINT_PERIOD", 0
    )
    trainer, results = run(cfg)
    assert trainer.iter == iterations
    assert "mAP" in results
    assert sorted(path.name for path in Path(cfg.OUTPUT_DIR).glob("*.pth")) == [
        "model_best.pth",
        "model_final.pth",
    ]


def test_a_run_within_its_warmup_without_test_sets(tiny_market, tiny_cfg):
    tiny_market()
    cfg = tiny_cfg("SOLVER.SCHED", "CosineAnnealingLR", "SOLVER.WARMUP_ITERS", 10, "DATASETS.TESTS", ())
    assert run(cfg)[1] == {}


def test_precise_bn_builds_its_own_loader(tiny_market, tiny_cfg):
    tiny_market()
    cfg = tiny_cfg("TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.NUM_ITER", 2, "DATASETS.TESTS", ())
    trainer, _ = run(cfg)
    (hook,) = [hook for hook in trainer._hooks if isinstance(hook, hooks.PreciseBN)]
    assert hook._data_loader.num_workers == 0
    assert trainer.model.backbone[1].num_batches_tracked > 0


def checkpointer(trainer):
    (hook,) = [hook for hook in trainer._hooks if isinstance(hook, hooks.PeriodicCheckpointer)]
    return hook


def test_resuming(tiny_market, tiny_cfg, monkeypatch):
    """The best metric and the frozen steps continue; a finished run is evaluated, not trained again."""
    tiny_market()
    freeze = ("MODEL.FREEZE_LAYERS", ["backbone"], "SOLVER.FREEZE_ITERS", 1)
    metrics = iter([90.0, 10.0, 20.0, 30.0])
    monkeypatch.setattr(
        DefaultTrainer, "test", classmethod(lambda cls, cfg, model: {"metric": next(metrics)})
    )
    first, _ = run(tiny_cfg(*freeze))
    assert first.optimizer.steps_done == 2

    again = DefaultTrainer(tiny_cfg(*freeze, "SOLVER.MAX_EPOCH", 2))
    again.resume_or_load()
    assert (again.start_epoch, checkpointer(again).best_metric, again.optimizer.steps_done) == (1, 90.0, 2)
    assert again.train() == {"metric": 10.0}
    best = torch.load(Path(again.cfg.OUTPUT_DIR, "model_best.pth"))
    assert (best["epoch"], best["metric"]) == (0, 90.0)
    assert not {"optimizer", "scheduler"} & set(best)
    assert torch.load(Path(again.cfg.OUTPUT_DIR, "model_final.pth"))["best_metric"] == 90.0

    finished = DefaultTrainer(tiny_cfg(*freeze, "SOLVER.MAX_EPOCH", 2))
    finished.resume_or_load()
    weights = states(finished)
    assert finished.train() == {"metric": 20.0}
    assert all(torch.equal(value, weights[name]) for name, value in finished.model.state_dict().items())


def test_without_kept_checkpoints_a_finished_run_leaves_its_model_alone(tiny_market, tiny_cfg, monkeypatch):
    tiny_market()
    metrics = iter([10.0, 20.0, 30.0, 40.0, 50.0])
    monkeypatch.setattr(
        DefaultTrainer, "test", classmethod(lambda cls, cfg, model: {"metric": next(metrics)})
    )
    alone = ("SOLVER.KEEP_CHECKPOINTS", False, "SOLVER.CHECKPOINT_PERIOD", 1, "SOLVER.MAX_EPOCH")
    trainer = DefaultTrainer(tiny_cfg(*alone, 4))
    seen = []
    hook = checkpointer(trainer)
    step = hook.after_epoch
    folder = Path(trainer.cfg.OUTPUT_DIR)
    (folder / "model_interrupted.pth").write_bytes(b"an older one")
    hook.after_epoch = lambda: (step(), seen.append(sorted(path.name for path in folder.glob("*.pth"))))
    trainer.train()
    each = [["model_0000.pth"], ["model_0001.pth"], ["model_0002.pth"], ["model_final.pth"]]
    assert seen == [sorted([*files, "model_best.pth"]) for files in each]
    assert not {"optimizer", "scheduler"} & set(torch.load(folder / "model_final.pth"))

    again = DefaultTrainer(tiny_cfg(*alone, 4))  # a finished run is only evaluated
    again.resume_or_load()
    assert again.train() == {"metric": 50.0}
    longer = DefaultTrainer(tiny_cfg(*alone, 5))
    with pytest.raises(ConfigError, match=r"model_final\.pth holds the model .* without --resume"):
        longer.resume_or_load()


def test_a_training_without_resume_starts_anew(tiny_market, tiny_cfg):
    tiny_market()
    trainer = DefaultTrainer(tiny_cfg("DATASETS.TESTS", ()))
    trainer.resume_or_load(resume=False)
    assert (trainer.start_epoch, checkpointer(trainer).best_metric) == (0, -1)


def test_a_training_whose_optimizer_moves_nothing_ends(tiny_market, tiny_cfg, monkeypatch, host_log):
    tiny_market()
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self, closure=None: None)
    with pytest.raises(TrainingError, match="iteration 0 moved none"):
        run(tiny_cfg())
    (record,) = [record for record in host_log.records if record.levelno == logging.ERROR]
    assert record.message.startswith("Training stopped: The update of iteration 0")
    assert record.exc_info is None


@pytest.mark.parametrize(
    ("opts", "error", "message"),
    [
        (("SOLVER.OPT", "Adm"), ConfigError, "SOLVER.OPT 'Adm' is not known"),
        (
            ("MODEL.META_ARCHITECTURE", "Basline"),
            ConfigError,
            "MODEL.META_ARCHITECTURE 'Basline' is not known",
        ),
        (
            ("SOLVER.IMS_PER_BATCH", 64),
            ConfigError,
            "SOLVER.IMS_PER_BATCH 64 is larger than the training set",
        ),
        (("DATASETS.NAMES", ("DukeMTMC",)), DataError, "DukeMTMC-reID is not found"),
        (
            ("MODEL.FREEZE_LAYERS", ["bacbone"], "SOLVER.FREEZE_ITERS", 1),
            ConfigError,
            "MODEL.FREEZE_LAYERS 'bacbone' is not known",
        ),
    ],
)
def test_a_wrong_config_ends_before_the_training(opts, error, message, tiny_market, tiny_cfg):
    tiny_market()
    with pytest.raises(error, match=message):
        DefaultTrainer(tiny_cfg(*opts))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_config_for_the_gpu_trains_on_the_cpu(tiny_market, tiny_cfg):
    tiny_market()
    cfg = tiny_cfg("MODEL.DEVICE", "cuda", "SOLVER.AMP.ENABLED", True, "DATASETS.TESTS", ())
    trainer, _ = run(cfg)
    assert trainer.model.device.type == "cpu"
    assert trainer.grad_scaler is None


def test_the_scalers_state_is_kept(tiny_market, tiny_cfg, monkeypatch):
    tiny_market()

    class Scaler:
        def is_enabled(self):
            return True

        def state_dict(self):
            return {"scale": 8.0}

    monkeypatch.setattr(DefaultTrainer, "grad_scaler", Scaler(), raising=False)
    trainer = DefaultTrainer(tiny_cfg())
    assert trainer.checkpointer.checkpointables["grad_scaler"].state_dict() == {"scale": 8.0}


def test_the_predictor_leaves_its_image_alone(tiny_cfg):
    torch.manual_seed(0)
    predictor = DefaultPredictor(tiny_cfg("MODEL.DEVICE", "cuda", "MODEL.HEADS.NUM_CLASSES", 2))
    image = torch.rand(1, 3, 32, 16) * 255
    before = image.clone()
    first, second = predictor(image), predictor(image)
    assert torch.equal(first, second)
    assert torch.equal(image, before)


@pytest.mark.gpu
@pytest.mark.filterwarnings("error::FutureWarning")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_mixed_precision_training_on_the_gpu_resumes_its_scaler(tiny_market, tiny_cfg):
    tiny_market()
    opts = ("MODEL.DEVICE", "cuda", "SOLVER.AMP.ENABLED", True, "DATALOADER.NUM_WORKERS", 2)
    trainer, _ = run(tiny_cfg(*opts))
    scale = trainer.grad_scaler.get_scale()
    again = DefaultTrainer(tiny_cfg(*opts, "SOLVER.MAX_EPOCH", 2))
    assert trainer.model.device.type == "cuda"
    again.resume_or_load()
    assert again.grad_scaler.get_scale() == scale
    again.train()
