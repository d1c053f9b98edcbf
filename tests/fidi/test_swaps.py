"""docs/loss_swaps.md: every block runs; the config works by the command with the host's Baseline and MGN."""

import json
import re
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from fastreid_projects.fidi.losses import FIDILoss

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "loss_swaps.md").read_text()
SECTIONS = {
    section.splitlines()[0]: re.findall(r"```python\n(.*?)```", section, re.S)
    for section in PAGE.split("\n## ")[1:]
}
BLOCKS = {title: blocks[0] for title, blocks in SECTIONS.items() if blocks}
MAKE_LOSS = "BoT, TransReID and relatives: `make_loss`"


class ImageTripletEngine:
    """What torchreid's engine of this name does with its two losses in a step."""

    def __init__(self, model):
        self.model = model
        self.criterion_t = None
        self.criterion_x = nn.CrossEntropyLoss()
        self.weight_t = self.weight_x = 1

    def compute_loss(self, criterion, outputs, targets):
        return criterion(outputs, targets)

    def forward_backward(self, data):
        outputs, features = self.model(data["img"])
        loss = self.weight_t * self.compute_loss(self.criterion_t, features, data["pid"])
        loss += self.weight_x * self.compute_loss(self.criterion_x, outputs, data["pid"])
        loss.backward()
        return loss


@pytest.fixture
def namespace(monkeypatch):
    """Run a block of the page; torchreid is stood in for."""
    torchreid = types.ModuleType("torchreid")
    torchreid.engine = types.SimpleNamespace(ImageTripletEngine=ImageTripletEngine)
    monkeypatch.setitem(sys.modules, "torchreid", torchreid)

    def run(title):
        names = {"__name__": "block"}
        exec(compile(BLOCKS[title], title, "exec"), names)
        return names

    return run


def test_the_page_has_all_recipes():
    assert {"A bare PyTorch loop", "pytorch-metric-learning", "open-metric-learning", "torchreid"} < set(
        BLOCKS
    )
    assert MAKE_LOSS in BLOCKS


@pytest.mark.parametrize("title", BLOCKS)
def test_every_block_runs(title, namespace):
    torch.manual_seed(0)
    names = namespace(title)
    if title == "A bare PyTorch loop":
        assert torch.isfinite(names["value"])
    if title == "open-metric-learning":
        assert torch.isfinite(names["features"].grad).all()


def batch():
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(8, 6, generator=generator),
        torch.randn(8, 4, generator=generator),
        torch.arange(8) // 2,
    )


def test_torchreids_engine_trains_on_it(namespace):
    features, logits, labels = batch()
    features.requires_grad_()
    engine = namespace("torchreid")["with_fidi"](ImageTripletEngine(lambda images: (logits, features)))
    loss = engine.forward_backward({"img": None, "pid": labels})
    torch.testing.assert_close(
        loss, FIDILoss()(features, labels) + nn.functional.cross_entropy(logits, labels)
    )
    assert features.grad.abs().sum() > 0


def test_make_loss_takes_one_branch_or_several(namespace):
    features, logits, labels = batch()
    loss_func = namespace(MAKE_LOSS)["make_loss"](None, 4)
    one = nn.functional.cross_entropy(logits, labels, label_smoothing=0.1) + FIDILoss()(features, labels)
    torch.testing.assert_close(loss_func(logits, features, labels), one)
    torch.testing.assert_close(loss_func([logits] * 5, [features] * 5, labels, None), one)


@pytest.mark.parametrize("architecture", ["Baseline", "MGN"])
def test_it_trains_in_the_host_by_its_name_alone(architecture, tiny_cfg, tiny_market, tmp_path):
    """By the command, with unmodified architectures; parameters come from MODEL.LOSSES.FIDI."""
    from fastreid_projects.engine.main import main

    tiny_market(ids=4, images=2, size=(32, 96))
    options = ["DATASETS.NAMES", ("Market1501",), "DATASETS.TESTS", ("Market1501",)]
    if architecture == "MGN":
        options += ["MODEL.META_ARCHITECTURE", "MGN", "MODEL.BACKBONE.NAME", "build_resnet_backbone"]
        options += [
            "MODEL.BACKBONE.DEPTH",
            "50x",
            "MODEL.BACKBONE.FEAT_DIM",
            2048,
            "MODEL.BACKBONE.PRETRAIN",
            False,
        ]
        options += ["MODEL.HEADS.EMBEDDING_DIM", 8, "INPUT.SIZE_TRAIN", [96, 32], "INPUT.SIZE_TEST", [96, 32]]
    config = tmp_path / "model.yml"
    config.write_text(tiny_cfg(*options).dump())
    words = ["MODEL.LOSSES.NAME", "('CrossEntropyLoss','FIDILoss')", "MODEL.LOSSES.FIDI.ALPHA", "1.2"]
    assert main(["--config-file", str(config), *words]) == 0
    lines = [json.loads(line) for line in (tmp_path / "logs" / "metrics.json").read_text().splitlines()]
    logged = {key for line in lines for key in line if key.startswith("loss_fidi")}
    assert len(logged) == (5 if architecture == "MGN" else 1)
    assert all(line[key] > 0 for line in lines for key in logged if key in line)
    assert json.loads((tmp_path / "logs" / "run.json").read_text())["metrics"]["mAP"] > 0
