"""FIDI and BCL in every architecture of this project, by name, and every loss that works on features in BDB."""

from pathlib import Path

import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils.events import EventStorage

from fastreid_projects import plugins
from fastreid_projects.config import load_config
from fastreid_projects.losses import LOSSES

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {
    "Baseline": "configs/demo/bagtricks_r18_demo.yml",
    "AIRNet": "projects/AIRNet/configs/demo/airnet_r18_demo.yml",
    "MPN": "projects/MPN/configs/demo/mpn_r18_demo.yml",
    "SAL": "projects/SAL/configs/demo/sal_r18_demo.yml",
    "BDB": "projects/FIDI/configs/demo/fidi_bdb_r18_demo.yml",
}
plugins.register_all()
ON_FEATURES = [name for name, cls in sorted(LOSSES.items()) if cls.inputs == "features"]


def losses_of(config, names):
    opts = ["MODEL.LOSSES.NAME", str(tuple(names)), "MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "4"]
    cfg = load_config(str(ROOT / config), [*opts, "MODEL.MPN.PRIOR.TYPE", "uniform"])
    torch.manual_seed(0)
    model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg).train()
    images = torch.rand(8, 3, 64, 32) * 255
    with EventStorage():
        return model({"images": images, "targets": torch.arange(8) // 2})


@pytest.mark.parametrize("loss", ["FIDILoss", "BatchHardContrastiveLoss"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_they_train_in_every_architecture(config, loss):
    losses = losses_of(config, ("CrossEntropyLoss", loss))
    key = "loss_fidi" if loss == "FIDILoss" else "loss_batch_hard_contrastive"
    own = {name: value for name, value in losses.items() if name.startswith(key)}
    assert own
    assert all(torch.isfinite(value) and value > 0 and value.requires_grad for value in own.values())


@pytest.mark.parametrize("loss", ON_FEATURES)
def test_every_loss_on_features_trains_bdb(loss):
    losses = losses_of(CONFIGS["BDB"], ("CrossEntropyLoss", loss))
    assert len(losses) == 4
    assert all(torch.isfinite(value) for value in losses.values())
    sum(losses.values()).backward()
