"""Where a distance comes from, for every architecture here and of the host, and for models that are not opened."""

from pathlib import Path

import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from torch import nn

import fastreid_projects  # noqa: F401
from fastreid_projects.config import load_config
from fastreid_projects.errors import ConfigError
from fastreid_projects.visualization.contributions import DistanceExplainer
from tests.architectures import small_configs

CONFIGS = small_configs()
BASELINE = next(path for name, path in CONFIGS.items() if name.startswith("Baseline-EmbeddingHead"))
VIT = [
    *("MODEL.BACKBONE.NAME", "build_vit_backbone", "MODEL.BACKBONE.DEPTH", "small"),
    *("MODEL.BACKBONE.STRIDE_SIZE", "(16,16)", "MODEL.HEADS.POOL_LAYER", "Identity"),
    *("MODEL.BACKBONE.FEAT_DIM", "768", "INPUT.SIZE_TRAIN", "[64,32]", "INPUT.SIZE_TEST", "[64,32]"),
]


def build(path: Path, *opts: str):
    """A model with random weights, and statistics as after some training, in training mode; its test size."""
    torch.manual_seed(0)
    cfg = load_config(str(path), ["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "7", *opts])
    cfg.MODEL.BACKBONE.PRETRAIN = False
    model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.train(), cfg.INPUT.SIZE_TEST


def pictures(size, n=2):
    return 255 * torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", [name for name in CONFIGS if not name.startswith("SALClassifier")])
def test_every_architectures_distance_is_split_over_the_cells_of_both_images(name):
    model, size = build(CONFIGS[name])
    images = pictures(size)
    explainer = DistanceExplainer(model)
    (found,) = explainer.explain(images[:1], images[1:])
    with torch.no_grad():
        features = model.eval()(images)
    assert found.distance == pytest.approx(float((features[0] - features[1]).norm()), rel=1e-4)
    assert found.first.numel() > 1
    sums = float(found.first.double().sum() + found.second.double().sum())
    assert sums + found.rest == pytest.approx(found.distance, rel=1e-5)
    exact = not name.startswith(("BDB", "MPN"))  # whose necks have a ReLU
    assert abs(found.rest) < (1e-4 if exact else 0.02) * found.distance


def test_flip_and_cosine_are_those_of_the_evaluation():
    model, size = build(BASELINE)
    images = pictures(size)
    explainer = DistanceExplainer(model, flip=True, cosine=True)
    a, b = explainer.see(images)
    with torch.no_grad():
        features = nn.functional.normalize((model.eval()(images) + model(images.flip(3))) / 2, dim=1)
    torch.testing.assert_close(torch.stack([a.embedding, b.embedding]), features, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(explainer.embed(images), features, rtol=1e-4, atol=1e-6)
    found = explainer.split(a, b)
    assert found.distance == pytest.approx(float((features[0] - features[1]).norm()), rel=1e-4)
    assert found.rest != 0  # the neck's shift, which the norms keep from cancelling
    again = explainer.split(*explainer.see(images.flip(3)))
    torch.testing.assert_close(again.first, found.first.flip(1), rtol=1e-3, atol=1e-5)


def test_modes_and_gradients_stay_as_they_were():
    model, size = build(BASELINE)
    images = pictures(size)
    DistanceExplainer(model).explain(images[:1], images[1:])
    assert all(part.training for part in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_a_transformers_patches_share_its_distance():
    model, size = build(BASELINE, *VIT)
    images = pictures(size)
    explainer = DistanceExplainer(model)
    (found,) = explainer.explain(images[:1], images[1:])
    assert found.first.shape == (4, 2)
    sums = float(found.first.sum() + found.second.sum())
    assert sums + found.rest == pytest.approx(found.distance, rel=1e-4)
    assert abs(found.rest) < 1e-3 * found.distance
    assert all(p.grad is None for p in model.parameters())


class Foreign(nn.Module):
    """A model that nobody has opened: two layers of maps and its own head."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU())
        self.head = nn.Linear(4, 5)

    def forward(self, images):
        return self.head((self.backbone(images / 255) ** 2).mean(dim=(2, 3)).sqrt())


def test_any_other_model_is_differentiated_at_its_last_map():
    torch.manual_seed(0)
    images = pictures((32, 16))
    (found,) = DistanceExplainer(Foreign()).explain(images[:1], images[1:])
    assert found.first.shape == (8, 4)
    assert abs(found.rest) < 1e-3 * found.distance


def test_a_model_without_distances_is_refused():
    model, _ = build(next(path for name, path in CONFIGS.items() if name.startswith("SALClassifier")))
    with pytest.raises(ConfigError, match="SALClassifier returns logits, not features"):
        DistanceExplainer(model)
