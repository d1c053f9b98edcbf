"""A training step: losses are looked at on every process, and mixed precision needs no CUDA to be refused."""

import math

import pytest
import torch
from fastreid.engine import DefaultTrainer
from fastreid.engine.train_loop import AMPTrainer, SimpleTrainer
from torch import nn

from fastreid_projects import device
from fastreid_projects.errors import ConfigError, TrainingError
from fastreid_projects.host.engine.train_loop import step
from fastreid_projects.host.utils import events


class Model(nn.Module):
    """Its losses are what it is given, times a weight of 1."""

    def __init__(self, losses):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.losses = losses

    def forward(self, batch):
        return {name: value * self.weight for name, value in self.losses.items()}


def trainer_of(losses, kind=SimpleTrainer):
    model = Model({name: torch.tensor(value) for name, value in losses.items()})
    batch = {"img_paths": ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]}
    trainer = kind(model, [batch] * 3, torch.optim.SGD(model.parameters(), lr=0.5), None)
    trainer.iter = 7
    return trainer


def test_a_step(storage):
    trainer = trainer_of({"loss_a": 1.0, "loss_b": 3.0})
    trainer.run_step()
    assert trainer.model.weight.item() == -1.0
    assert storage.latest()["total_loss"][0] == 4.0
    assert storage.latest()["loss_b"][0] == 3.0
    assert "data_time" in storage.latest()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite(value, storage, unpatched):
    assert unpatched["nan_loss"].startswith("FloatingPointError")
    assert "images" not in unpatched["nan_loss"]
    trainer = trainer_of({"loss_a": 1.0, "loss_b": value})
    with pytest.raises(
        TrainingError, match=rf"loss_b is {value} at iteration 7 \(images a\.jpg, b\.jpg"
    ) as caught:
        trainer.run_step()
    assert "loss_a" not in str(caught.value)
    assert "e.jpg" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert trainer.model.weight.item() == 1.0


def test_every_process_raises_for_a_loss_of_another(storage, monkeypatch):
    other = ({"loss_a": math.nan}, 0.1, ["z.jpg"])
    monkeypatch.setattr(step.comm, "all_gather", lambda mine: [mine, other])
    trainer = trainer_of({"loss_a": 1.0})
    with pytest.raises(TrainingError, match=r"loss_a is nan at iteration 7 on rank 1 \(images z\.jpg"):
        trainer.run_step()
    assert trainer.model.weight.item() == 1.0


def test_processes_may_have_different_losses(storage, monkeypatch):
    monkeypatch.setattr(
        step.comm, "all_gather", lambda mine: [mine, ({"loss_a": 3.0, "loss_b": 5.0}, 9.0, [])]
    )
    trainer_of({"loss_a": 1.0}).run_step()
    latest = {name: value for name, (value, _) in storage.latest().items()}
    assert (latest["loss_a"], latest["loss_b"], latest["data_time"]) == (2.0, 5.0, 9.0)


def test_no_loss(storage):
    with pytest.raises(
        TrainingError, match=r"does not compute a loss: name at least one in MODEL\.LOSSES\.NAME"
    ):
        trainer_of({}).run_step()


@pytest.mark.parametrize(("value", "said"), [([1.0, 2.0], r"\(2,\)"), (None, "float")])
def test_a_loss_that_is_no_scalar(value, said):
    loss = torch.tensor(value) if value else 1.0
    with pytest.raises(TrainingError, match=f"Loss loss_a must be a scalar tensor, not {said}"):
        step.LossValues({"loss_a": loss})


def test_what_a_model_logs_comes_with_its_losses(storage, monkeypatch):
    """On a GPU one transfer a step brings both, after the backward pass was sent there."""

    class Logging(Model):
        def forward(self, batch):
            storage.put_scalar("accuracy", torch.tensor([0.75]))
            assert "accuracy" not in storage._latest_scalars, "it would have been waited for"
            return super().forward(batch)

    monkeypatch.setattr(events, "is_far", lambda value: True)
    model = Logging({"loss_a": torch.tensor(2.0)})
    SimpleTrainer(model, [{}], torch.optim.SGD(model.parameters(), lr=0.5), None).run_step()
    assert storage._latest_scalars["accuracy"] == (0.75, 0)
    assert storage._latest_scalars["total_loss"] == (2.0, 0)


def test_a_subclass_may_write_a_plain_dict(storage):
    trainer_of({"loss_a": 1.0})._write_metrics({"loss_a": torch.tensor(2.0)}, 0.1)
    assert storage.latest()["total_loss"][0] == 2.0


def test_mixed_precision_on_the_cpu_is_float32(storage, unpatched, host_log):
    assert unpatched["amp_on_cpu"].startswith("AssertionError")
    device.warn_once.cache_clear()
    trainers = [trainer_of({"loss_a": 1.0}, AMPTrainer) for _ in range(2)]
    for trainer in trainers:
        trainer.run_step()
        assert trainer.model.weight.item() == 0.5
        assert not trainer.grad_scaler.is_enabled()
    assert [record.message for record in host_log.records] == [device.NO_AMP]


@pytest.mark.gpu
@pytest.mark.filterwarnings("error")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_mixed_precision_on_the_gpu(storage):
    model = Model({"loss_a": torch.tensor(1.0, device="cuda")}).cuda()
    trainer = AMPTrainer(model, [{}] * 3, torch.optim.SGD(model.parameters(), lr=0.5), None)
    trainer.run_step()
    assert trainer.grad_scaler.is_enabled()
    assert model.weight.item() == 0.5
    assert storage.latest()["total_loss"][0] == 1.0


def test_the_batch_of_a_broken_loss_is_saved_before_the_update(storage, tmp_path):
    trainer = trainer_of({"loss_a": math.nan})
    trainer.output_dir = str(tmp_path)
    with pytest.raises(TrainingError, match=r"nan_batch\.pth"):
        trainer.run_step()
    saved = torch.load(tmp_path / "nan_batch.pth", weights_only=True)
    assert saved["batch"]["img_paths"] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    assert math.isnan(saved["losses"]["loss_a"])
    assert saved["iteration"] == 7
    assert trainer.model.weight.item() == 1.0


def test_a_full_disk_does_not_hide_the_broken_loss(storage, tmp_path):
    trainer = trainer_of({"loss_a": math.nan})
    (tmp_path / "file").write_text("")
    trainer.output_dir = str(tmp_path / "file")
    with pytest.raises(TrainingError, match=r"loss_a is nan") as caught:
        trainer.run_step()
    assert "saved" not in str(caught.value)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_bfloat16_on_request_on_the_cpu(storage, name, tiny_market, tiny_cfg):
    tiny_market()
    cfg = tiny_cfg("SOLVER.AMP.ENABLED", True, "SOLVER.AMP.DTYPE", name, "DATASETS.TESTS", ())
    trainer = DefaultTrainer(cfg)
    seen = []
    trainer.model.backbone[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    trainer.train()
    assert set(seen) == {torch.bfloat16 if name == "bfloat16" else torch.float32}


def test_an_unknown_precision(tiny_cfg):
    with pytest.raises(ConfigError, match=r"SOLVER\.AMP\.DTYPE.*float8"):
        DefaultTrainer(tiny_cfg("SOLVER.AMP.DTYPE", "float8"))
