"""Every registered loss is finite, in value and gradient, for features of any usual scale and at any precision."""

import pytest
import torch

from fastreid_projects.amd.losses import PairDistances
from fastreid_projects.losses import LOSSES, build_losses
from fastreid_projects.losses.distances import euclidean_distances

config = pytest.importorskip("fastreid_projects.config.reading")
config.load_config("", [])  # the plug-ins register their losses

SCALES = (1e-4, 1e-2, 1.0, 1e2, 1e4)
IMAGES, ATTRIBUTES = 12, 5
NAMES = sorted(LOSSES)


@pytest.fixture(scope="module")
def cfg():
    return config.load_config("", ["SOLVER.IMS_PER_BATCH", "12", "DATALOADER.NUM_INSTANCE", "4"])


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def leaves_of(inputs):
    """Float32 values of scale 1; two images are the same, as a sampler repeats them, and one is blank."""
    if inputs == "feature maps":
        leaves = [normal(IMAGES, 8, 4, 2), normal(IMAGES, 16, 8, 4)]
    elif inputs == "attribute distances":
        leaves = [normal(IMAGES, 8), normal(IMAGES, ATTRIBUTES, 8)]
    else:
        leaves = [normal(IMAGES, 16)]
    for leaf in leaves:
        leaf[1], leaf[2] = leaf[0], 0
    return leaves


def arguments_of(inputs, values):
    if inputs == "attribute distances":
        features, guided = values
        differences = (guided.unsqueeze(0) - guided.unsqueeze(1)).abs().mean(dim=3)
        exclusive = normal(IMAGES, IMAGES, ATTRIBUTES) > 0
        known = torch.ones_like(exclusive)
        return PairDistances(euclidean_distances(features), differences, exclusive, known)
    return values if inputs == "feature maps" else values[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_finite(cfg, name, dtype):
    cfg.MODEL.LOSSES.SAC.LAYERS = ("backbone.layer3", "backbone.layer4")
    (loss,) = build_losses(cfg, [name])
    labels = torch.arange(IMAGES) // 4
    for scale in SCALES:
        leaves = [leaf.requires_grad_() for leaf in leaves_of(loss.inputs)]
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            values = [(leaf * scale).to(dtype) for leaf in leaves]
            value = loss.scale * loss.module(arguments_of(loss.inputs, values), labels)
        assert value.isfinite(), scale
        value.float().backward()
        assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in leaves), scale
        assert value.dtype in (torch.float32, torch.float64), "a sum over a batch overflows half precision"


def test_all_kinds_of_losses_are_here():
    assert {"TripletLoss", "FIDILoss", "SelfAttentionConstraint", "AttributePriorLoss"} <= set(NAMES)
    assert {LOSSES[name].inputs for name in NAMES} == {
        "features",
        "logits",
        "feature maps",
        "attribute distances",
    }


@pytest.mark.parametrize("name", ["pairwise_circleloss", "pairwise_cosface"])
def test_a_blank_feature_in_the_hosts_architectures(name):
    from fastreid.modeling.meta_arch import baseline

    features = normal(4, 8).half()
    features[0] = 0
    features.requires_grad_()
    getattr(baseline, name)(features, torch.tensor([0, 0, 1, 1]), 0.25, 128).backward()
    assert features.grad.isfinite().all()
    assert features.grad[1].any()
