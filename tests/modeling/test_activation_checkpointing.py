"""Activation checkpointing: less is kept, everything else is what it was."""

import copy

import pytest
import torch
from fastreid.modeling.backbones.resnet import BasicBlock, Bottleneck
from fastreid.utils.events import EventStorage
from torch import nn

from fastreid_projects.config import load_config
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.activation_checkpointing import checkpoint_activations

KEY = "MODEL.BACKBONE.ACTIVATION_CHECKPOINTING"


def build(*opts, seed=0):
    torch.manual_seed(seed)
    keys = ["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "4", "MODEL.BACKBONE.DEPTH", "18x"]
    keys += ["MODEL.BACKBONE.FEAT_DIM", "512", "MODEL.LOSSES.NAME", "('CrossEntropyLoss', 'TripletLoss')"]
    return Trainer.build_model(load_config("", [*keys, *opts]))


def step(model, size=(64, 32)):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(6, 3, *size, generator=generator) * 255
    with EventStorage():
        losses = model.train()({"images": images, "targets": torch.arange(6) // 2})
    sum(losses.values()).backward()
    return losses


def saved_bytes(model):
    """What the backward pass keeps, apart from parameters."""
    total, own = {}, {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(tensor):
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in own:
            total[pointer] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), EventStorage():
        images = torch.rand(6, 3, 64, 32) * 255
        losses = model.train()({"images": images, "targets": torch.arange(6) // 2})
    assert losses
    return sum(total.values())


@pytest.mark.parametrize(
    "opts",
    [
        [],
        ["MODEL.BACKBONE.NORM", "GhostBN"],
        ["MODEL.BACKBONE.WITH_IBN", "True", "MODEL.BACKBONE.WITH_SE", "True"],
        [
            "MODEL.BACKBONE.NAME",
            "build_osnet_backbone",
            "MODEL.BACKBONE.DEPTH",
            "x0_25",
            "MODEL.BACKBONE.FEAT_DIM",
            "128",
        ],
    ],
)
def test_losses_gradients_and_statistics_are_equal(opts):
    plain, less = build(*opts), build(*opts, KEY, "True")
    for _ in range(2):
        first, second = step(plain), step(less)
        assert all(torch.equal(first[name], second[name]) for name in first)
    for (name, p), q in zip(plain.named_parameters(), less.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        assert p.grad is None or torch.equal(p.grad, q.grad), name
    for name, value in plain.state_dict().items():
        assert torch.equal(less.state_dict()[name], value), f"{name}: statistics move once, not twice"


def test_less_is_kept():
    assert saved_bytes(build(KEY, "True")) < 0.6 * saved_bytes(build())


def test_evaluation_and_frozen_statistics_are_untouched():
    plain, less = build().eval(), build(KEY, "True").eval()
    images = torch.rand(2, 3, 64, 32) * 255
    assert torch.equal(plain({"images": images.clone()}), less({"images": images.clone()}))
    before = copy.deepcopy(less.backbone.layer4[1].bn1.state_dict())
    less.train()
    less.backbone.layer4.eval()
    less.backbone(torch.rand(2, 3, 64, 32)).sum().backward()
    after = less.backbone.layer4[1].bn1.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_copy_computes_with_its_own_weights():
    model = build(KEY, "True")
    twin = copy.deepcopy(model)
    nn.init.zeros_(model.backbone.layer4[1].bn2.weight)
    x = torch.rand(2, 3, 64, 32)
    assert not torch.equal(twin.train().backbone(x), model.train().backbone(x))


def test_every_block_of_a_resnet_and_nothing_inside_it():
    model = build(KEY, "True")
    patched = [m for m in model.modules() if "forward" in vars(m)]
    assert patched == [m for m in model.modules() if isinstance(m, BasicBlock | Bottleneck)]


def test_a_model_without_blocks_is_refused():
    with pytest.raises(ConfigError, match="ACTIVATION_CHECKPOINTING"):
        checkpoint_activations(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()))
