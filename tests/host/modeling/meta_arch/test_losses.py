"""Registered losses in the host's unmodified Baseline and MGN."""

import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils.events import EventStorage
from torch import nn

from fastreid_projects.errors import ConfigError
from fastreid_projects.host.modeling.meta_arch.losses import known_losses
from fastreid_projects.losses import LOSSES, register_loss


@pytest.fixture
def spread_loss(monkeypatch):
    """A loss that only this test knows: the mean squared feature."""
    monkeypatch.setattr("fastreid_projects.losses.registry.LOSSES", LOSSES)

    class SpreadLoss(nn.Module):
        inputs = "features"
        config_node = ""

        @classmethod
        def from_config(cls, cfg):
            return cls()

        def forward(self, features, labels):
            return features.square().mean()

    register_loss(SpreadLoss)
    yield SpreadLoss
    del LOSSES["SpreadLoss"]


def losses_of(cfg, size=(32, 16)):
    torch.manual_seed(0)
    cfg.MODEL.HEADS.NUM_CLASSES = 4
    model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg).train()
    with EventStorage():
        return model({"images": torch.rand(8, 3, *size) * 255, "targets": torch.arange(8) // 2})


def test_a_registered_loss_trains_in_baseline(tiny_cfg, spread_loss):
    plain = losses_of(tiny_cfg())
    more = losses_of(tiny_cfg("MODEL.LOSSES.NAME", ("CrossEntropyLoss", "TripletLoss", "SpreadLoss")))
    assert set(more) == {*plain, "loss_spread"}
    for name, value in plain.items():
        assert torch.equal(more[name], value), "the host's own losses stay what they were"
    assert more["loss_spread"].requires_grad


def test_focal_loss_is_no_longer_ignored(tiny_cfg):
    """baseline.py:135: FocalLoss alone leaves 'int' object has no attribute 'backward'."""
    losses = losses_of(tiny_cfg("MODEL.LOSSES.NAME", ("FocalLoss",), "MODEL.LOSSES.FL.SCALE", 3.0))
    once = losses_of(tiny_cfg("MODEL.LOSSES.NAME", ("FocalLoss",)))
    torch.testing.assert_close(losses["loss_focal"], 3 * once["loss_focal"])


def test_mgn_takes_losses_beyond_its_own_two(tiny_cfg, spread_loss):
    cfg = tiny_cfg(
        *("MODEL.META_ARCHITECTURE", "MGN", "MODEL.BACKBONE.NAME", "build_resnet_backbone"),
        *("MODEL.BACKBONE.DEPTH", "50x", "MODEL.BACKBONE.FEAT_DIM", 2048, "MODEL.HEADS.EMBEDDING_DIM", 8),
        *("MODEL.LOSSES.NAME", ("CrossEntropyLoss", "CircleLoss", "SpreadLoss", "FocalLoss")),
    )
    losses = losses_of(cfg, size=(96, 32))
    for name, parts in (("cls", 8), ("focal", 8), ("circle", 5), ("spread", 5)):
        assert sum(key.startswith(f"loss_{name}_") for key in losses) == parts
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize("name", ["TripletLos", "AttributePriorLoss"])
def test_unknown_or_unfit_names_are_errors(tiny_cfg, name):
    from fastreid_projects import plugins

    plugins.register_all()
    with pytest.raises(ConfigError, match=r"MODEL\.LOSSES\.NAME") as caught:
        losses_of(tiny_cfg("MODEL.LOSSES.NAME", ("CrossEntropyLoss", name)))
    assert name in str(caught.value)


def test_an_architecture_of_others_may_compute_losses_of_its_own_names(monkeypatch):
    own = type("OwnLossesForTest", (nn.Module,), {"__module__": "their_package.model"})
    monkeypatch.setitem(META_ARCH_REGISTRY._obj_map, "OwnLossesForTest", own)
    names = ["TheirLoss", "TripletLoss"]
    assert known_losses(names, "OwnLossesForTest") == ["TripletLoss"]
    assert known_losses(names, "Baseline") == names
    monkeypatch.setattr(own, "__module__", "fastreid_projects.amd.meta_arch")
    assert known_losses(names, "OwnLossesForTest") == names


def test_pair_losses_are_float32_under_autocast(tiny_cfg):
    """modeling/losses/utils.py:39 multiplies in half precision: far features overflow."""
    from fastreid.modeling.meta_arch import baseline

    features = torch.randn(8, 16, dtype=torch.float32) * 300
    labels = torch.arange(8) // 2
    plain = baseline.triplet_loss(features, labels, 0.3, False, True)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(baseline.triplet_loss(features, labels, 0.3, False, True), plain)
