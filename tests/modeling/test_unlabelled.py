"""Batches without labels (utils/precision_bn.py:60) pass every architecture, whatever loss it trains on."""

import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils.events import EventStorage

from fastreid_projects import plugins
from fastreid_projects.config import load_config
from fastreid_projects.losses import LOSSES
from fastreid_projects.losses.feature_maps import FEATURE_MAPS
from fastreid_projects.modeling.unlabelled import training_targets
from tests.architectures import small_configs

plugins.register_all()
CONFIGS = small_configs()


def model_of(name):
    """An architecture with every loss that it can feed."""
    kind = name.split("-")[0]
    inputs = (
        "features",
        "logits",
        *((FEATURE_MAPS,) if kind in ("Baseline", "MGN", "SALClassifier") else ()),
    )
    names = tuple(loss for loss, cls in LOSSES.items() if cls.inputs in inputs)
    maps = "('b1', 'b2')" if kind == "MGN" else "('backbone.layer3', 'backbone.layer4')"
    opts = ["MODEL.DEVICE", "cpu", "MODEL.BACKBONE.PRETRAIN", "False", "MODEL.HEADS.NUM_CLASSES", "4"]
    opts += ["MODEL.LOSSES.NAME", str(names), "MODEL.LOSSES.SAC.LAYERS", maps]
    cfg = load_config(str(CONFIGS[name]), [*opts, "MODEL.MPN.PRIOR.TYPE", "uniform"])
    torch.manual_seed(0)
    return META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg).train()


@pytest.mark.parametrize("name", CONFIGS)
def test_every_loss_in_every_architecture(name):
    model = model_of(name)
    images, labels = torch.rand(8, 3, 96, 32) * 255, torch.arange(8) // 2
    batch = {"images": images, "targets": labels}
    if name.startswith("IdentityAndAttributes"):
        batch["attributes"] = torch.zeros(8, model.attribute_classifier.out_features)
    means = {key: value.clone() for key, value in model.named_buffers() if key.endswith("running_mean")}
    with EventStorage(), torch.no_grad():
        model({**batch, "images": images.clone(), "targets": torch.full_like(labels, -1)})
        taken = model({**batch, "images": images.clone()})
    assert any(key.startswith("loss_quadruplet_hard") for key in taken), "with labels they are taken"
    now = dict(model.named_buffers())
    assert not any(torch.equal(now[key], mean) for key, mean in means.items()), "the statistics are taken"


def test_what_is_trained_on():
    labels = torch.tensor([3, 0, 1])
    assert torch.equal(training_targets(labels)[0], labels)
    assert training_targets(labels)[1]
    targets, read = training_targets(-torch.ones(3))
    assert read, "with gradients the losses are read"
    assert not targets.any()
    with torch.no_grad():
        assert not training_targets(-torch.ones(3))[1]
        assert training_targets(labels)[1]
