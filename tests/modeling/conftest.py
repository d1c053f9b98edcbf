"""BoT on tiny models of timm."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from fastreid_projects.config import load_config
from tests.timm_families import Family, opts_of
from tests.yaml_files import config_file


@pytest.fixture(scope="session")
def timm_cfg() -> Callable[..., Any]:
    """A factory of BoT's demo config on a family's model; more as KEY, VALUE."""
    pytest.importorskip("timm")
    import tests.timm_models  # noqa: F401  (registers them)

    def make(family: Family, *opts: str, config: str = "bagtricks_r18_demo") -> Any:
        own = ["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "4", *opts_of(family), *opts]
        return load_config(str(config_file(config)), own)

    return make


@pytest.fixture(scope="session")
def build_timm(timm_cfg: Callable[..., Any]) -> Callable[..., Any]:
    """A factory of models of ``timm_cfg``, with statistics as after some training."""

    def make(family: Family, *opts: str, config: str = "bagtricks_r18_demo") -> Any:
        from fastreid_projects.engine.trainer import Trainer

        torch.manual_seed(0)
        model = Trainer.build_model(timm_cfg(family, *opts, config=config))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        return model

    return make
