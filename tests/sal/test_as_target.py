"""SAL's models as what AMD explains."""

import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

from fastreid_projects.amd.targets import FrozenTarget, embed
from fastreid_projects.config import load_config
from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.backbone_stages import run_stages
from tests.yaml_files import config_file


def model_of(name, *opts):
    torch.manual_seed(0)
    opts = ["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "4", *opts]
    cfg = load_config(str(config_file(name)), opts)
    return META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)


@pytest.mark.parametrize("shared", [1, 3, 4, 5])
@pytest.mark.parametrize("name", ["sal_r18_demo.yml", "sal_ce_r18_demo.yml"])
def test_a_target_is_opened_at_its_levels(name, shared):
    model = model_of(name).eval()
    images = torch.rand(2, 3, 64, 32)
    whole = model.heads(model.backbone(images))
    target = FrozenTarget(model, shared)
    output = target(images)
    torch.testing.assert_close(output.embedding, whole)
    (branch,) = output.branches
    assert torch.equal(run_stages(target.stages[shared:], output.shared), branch.features)
    ones = torch.ones(2, 1, *branch.features.shape[2:])
    torch.testing.assert_close(embed(branch, ones, neck=True)[:, 0], whole, rtol=1e-4, atol=1e-5)


def test_a_classifier_is_refused():
    """It is a Baseline by its class, but returns logits."""
    with pytest.raises(ConfigError, match="SALClassifier: it returns logits"):
        FrozenTarget(model_of("sal_ce_r18_cifar_demo.yml"), 3)


def test_levels_of_different_sizes_are_refused():
    with pytest.raises(ConfigError, match="cannot be cut"):
        FrozenTarget(model_of("sal_r18_demo.yml", "MODEL.SAL.DILATED", "False"), 3)
