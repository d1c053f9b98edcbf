"""TRAINING: other ways to compute give the same result; what cannot work is refused in one sentence."""

import shutil

import pytest
import torch
import torch.nn.functional as F
from fastreid.engine.train_loop import SimpleTrainer
from fastreid.utils.events import EventStorage
from torch import nn

from fastreid_projects.config.training import check_training_group, fusible
from fastreid_projects.engine.averaging import WeightAverage
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError
from fastreid_projects.host.engine.defaults import apply_seed
from fastreid_projects.host.solver.build import build_optimizer
from fastreid_projects.modeling.batch import split_batch
from fastreid_projects.modeling.compiling import compile_backbone


class Classifier(nn.Module):
    """No norm: the output for an image depends only on that image."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        self.seen = []

    def forward(self, batch):
        self.seen.append(batch["img_paths"])
        logits = self.layers(batch["images"])
        return {"loss_cls": F.cross_entropy(logits, batch["targets"]), "loss_size": logits.square().mean()}


def step(parts):
    model = Classifier()
    generator = torch.Generator().manual_seed(1)
    data = {
        "images": torch.randn(12, 6, generator=generator),
        "targets": torch.arange(12) % 3,
        "img_paths": [str(number) for number in range(12)],
    }
    trainer = SimpleTrainer(model, iter([data]), torch.optim.SGD(model.parameters(), lr=0.1), None)
    trainer._data_loader_iter, trainer.iter = iter([data]), 0
    trainer.accumulation = parts
    with EventStorage(0) as storage:
        trainer.run_step()
    return model, {name: value[0] for name, value in storage.latest().items()}


@pytest.mark.parametrize("parts", [2, 3, 6])
def test_a_batch_in_parts_is_the_batch(parts):
    whole, whole_losses = step(1)
    model, losses = step(parts)
    assert [len(paths) for paths in model.seen] == [12 // parts] * parts
    assert [path for paths in model.seen for path in paths] == whole.seen[0]
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    for name in ("loss_cls", "loss_size", "total_loss"):
        assert losses[name] == pytest.approx(whole_losses[name], rel=1e-5)


def test_what_is_not_of_single_images_goes_to_every_part():
    batch = {
        "images": torch.zeros(4, 1),
        "names": ["a", "b", "c", "d"],
        "weight": 0.5,
        "scale": torch.ones(3),
    }
    first, second = split_batch(batch, 2)
    assert (first["names"], second["names"]) == (["a", "b"], ["c", "d"])
    assert second["weight"] == 0.5
    assert torch.equal(second["scale"], torch.ones(3))
    assert split_batch(batch, 1)[0] is batch


@pytest.fixture
def cfg(tiny_cfg):
    """A factory of `tiny_cfg` with this project's keys."""
    from fastreid_projects import plugins

    def make(*opts):
        made = plugins.own_cfg()
        made.merge_from_other_cfg(tiny_cfg())
        made.merge_from_list(list(opts))
        return made

    return make


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "Adagrad"])
def test_a_fused_update_is_the_update(cfg, name):
    updated = []
    for fused in (False, True):
        model = Classifier()
        optimizer, _ = build_optimizer(cfg("SOLVER.OPT", name, "TRAINING.FUSED", fused), model)
        assert optimizer.defaults.get("fused") is (True if fused else None)
        for number in range(3):
            optimizer.zero_grad()
            images = torch.randn(6, 6, generator=torch.Generator().manual_seed(number))
            batch = {"images": images, "targets": torch.arange(6) % 3, "img_paths": []}
            sum(model(batch).values()).backward()
            optimizer.step()
        updated.append(model.state_dict())
    for name, value in updated[0].items():
        torch.testing.assert_close(updated[1][name], value, rtol=1e-5, atol=1e-7)


def test_channels_last_gives_the_same_features(cfg, resnet18):
    images, features = torch.rand(2, 3, 32, 16) * 255, []
    options = ("MODEL.BACKBONE.PRETRAIN", False, "MODEL.HEADS.NUM_CLASSES", 4, *resnet18)
    for last in (False, True):
        torch.manual_seed(0)
        model = Trainer.build_model(cfg(*options, "TRAINING.CHANNELS_LAST", last)).eval()
        weight = model.backbone.layer1[0].conv1.weight
        assert weight.is_contiguous(memory_format=torch.channels_last) is last
        with torch.no_grad():
            features.append(model({"images": images}))
    torch.testing.assert_close(features[1], features[0], rtol=1e-4, atol=1e-4)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, images):
        return self.backbone(images).mean(dim=(2, 3))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_compiled_backbone_gives_the_same_in_value_and_gradient():
    images, found = torch.rand(2, 3, 9, 7), []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = Small()
        if compiled:
            compile_backbone(model)
        output = model(images)
        output.square().sum().backward()
        found.append([output.detach(), *(p.grad for p in model.parameters()), *model.buffers()])
        assert list(model.state_dict()) == list(Small().state_dict())
    for expected, value in zip(*found, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)


def test_compiling_needs_a_backbone():
    with pytest.raises(ConfigError, match=r"Linear does not call its backbone as a whole: set it False"):
        compile_backbone(nn.Linear(1, 1))


@pytest.mark.parametrize(
    "opts, sentence",
    [
        (("TRAINING.EMA", 1.0), r"TRAINING\.EMA is 1\.0 but has to be in \[0, 1\)"),
        (
            ("TRAINING.EMA", 0.9, "TEST.PRECISE_BN.ENABLED", True),
            r"TEST\.PRECISE_BN\.ENABLED .* switch one of them off",
        ),
        (("TRAINING.ACCUMULATION", 0), r"TRAINING\.ACCUMULATION is 0 but has to be at least 1"),
        (("TRAINING.ACCUMULATION", 4), r"4 does not divide the 8 images .* \(DATALOADER\.NUM_INSTANCE 4\)"),
        (
            ("TRAINING.FUSED", True, "SOLVER.OPT", "RAdam"),
            r"no fused update for SOLVER\.OPT RAdam: use one of",
        ),
        (("TRAINING.FUSED", True, "SOLVER.OPT", "Lamb"), r"no fused update for SOLVER\.OPT Lamb"),
        (
            ("TRAINING.COMPILE", True, "MODEL.BACKBONE.ACTIVATION_CHECKPOINTING", True),
            r"ACTIVATION_CHECKPOINTING both decide",
        ),
    ],
)
def test_what_cannot_work_is_refused(cfg, opts, sentence, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: name)
    with pytest.raises(ConfigError, match=sentence):
        check_training_group(cfg(*opts))


def test_compiling_needs_a_compiler(cfg, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"there is no C\+\+ compiler .* set TRAINING\.COMPILE False"):
        check_training_group(cfg("TRAINING.COMPILE", True))


def test_what_can_work_is_not(cfg):
    assert {"Adam", "AdamW", "SGD", "Adagrad"} <= set(fusible())
    check_training_group(cfg("TRAINING.ACCUMULATION", 2, "TRAINING.EMA", 0.999, "TRAINING.FUSED", True))
    anyhow = ("DATALOADER.SAMPLER_TRAIN", "TrainingSampler", "TRAINING.ACCUMULATION", 8)
    check_training_group(cfg(*anyhow))


@pytest.fixture
def matmul():
    """The switches of matrix products, put back afterwards."""
    switches = torch.backends.cuda.matmul
    before = switches.allow_tf32
    yield switches
    switches.allow_tf32 = before


@pytest.mark.parametrize("asked", [True, False])
def test_tf32_is_switched_by_its_key(asked, tiny_market, cfg, tmp_path, matmul):
    """Also off, for a second trainer in one process."""
    tiny_market()
    matmul.allow_tf32 = not asked
    Trainer(cfg("TRAINING.TF32", asked, "OUTPUT_DIR", str(tmp_path)))
    assert matmul.allow_tf32 is asked


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tf32_gives_the_same_within_its_rounding(matmul):
    a, b = torch.randn(2, 512, 512, device="cuda", dtype=torch.float64)
    matmul.allow_tf32 = True
    error = (a.float() @ b.float() - a @ b).abs().max() / (a.abs() @ b.abs()).max()
    assert error < 2**-10


def test_the_average_by_hand():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, affine=False))
    weight, mean = model[0].weight, model[1].running_mean
    nn.init.constant_(weight, 1.0)
    average = WeightAverage(model, 0.75)
    average.before_train()
    for value in (2.0, 4.0):
        nn.init.constant_(weight, value)
        mean.fill_(10 * value)
        average.after_step()
    expected = 0.75 * (0.75 * 1 + 0.25 * 2) + 0.25 * 4
    with average.shown(), average.shown():
        assert weight.item() == pytest.approx(expected)
        assert mean.item() == pytest.approx(0.75 * 0.25 * 20 + 0.25 * 40)
    assert (weight.item(), mean.item()) == (4.0, 40.0)


def weights_of(path):
    return torch.load(path, weights_only=True)


def train(cfg, *opts, resume=False):
    made = cfg("TRAINING.EMA", 0.5, "SOLVER.CHECKPOINT_PERIOD", 1, "SOLVER.STEPS", [], *opts)
    apply_seed(made)
    trainer = Trainer(made)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


def test_the_average_is_evaluated_saved_and_resumed(tiny_market, cfg, tmp_path, monkeypatch):
    """Two epochs at once, and one and one, give the same weights and the same average."""
    tiny_market()
    evaluated = []
    plain = Trainer.test.__func__

    def test(cls, cfg, model):
        evaluated.append(model.backbone[0].weight.clone())
        return plain(cls, cfg, model)

    monkeypatch.setattr(Trainer, "test", classmethod(test))
    once = train(cfg, "SOLVER.MAX_EPOCH", 2, "OUTPUT_DIR", str(tmp_path / "once"))
    saved = weights_of(tmp_path / "once" / "model_final.pth")
    assert torch.equal(saved["model"]["backbone.0.weight"], evaluated[-1])
    trained = once.model.backbone[0].weight
    assert torch.equal(saved["average"]["trained"]["backbone.0.weight"], trained)
    assert not torch.equal(evaluated[-1], trained)
    best = weights_of(next((tmp_path / "once").glob("model_*.pth")))
    assert "model" in best

    parts = ("OUTPUT_DIR", str(tmp_path / "twice"))
    train(cfg, "SOLVER.MAX_EPOCH", 1, *parts)
    again = train(cfg, "SOLVER.MAX_EPOCH", 2, *parts, resume=True)
    resumed = weights_of(tmp_path / "twice" / "model_final.pth")
    for name, value in saved["model"].items():
        torch.testing.assert_close(resumed["model"][name], value, rtol=0, atol=0)
    for name, value in once.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value)

    finished = train(cfg, "SOLVER.MAX_EPOCH", 2, *parts, resume=True)
    assert torch.equal(evaluated[-1], resumed["model"]["backbone.0.weight"])
    assert torch.equal(finished.model.backbone[0].weight, again.model.backbone[0].weight)
