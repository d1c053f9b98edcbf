"""A small AIR-Net, and configs of its variants."""

from collections.abc import Callable
from typing import Any

import pytest

from fastreid_projects.config import load_config
from tests.yaml_files import config_file

TINY = (
    *("INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]", "MODEL.DEVICE", "cpu"),
    *("MODEL.HEADS.NUM_CLASSES", "4"),
)


@pytest.fixture
def airnet_cfg() -> Callable[..., Any]:
    """A factory of the demo config on 64 x 32 pixels with four classes; more as KEY, VALUE."""

    def make(*opts: str, config: str = "airnet_r18_demo") -> Any:
        return load_config(str(config_file(f"{config}.yml")), [*TINY, *opts])

    return make


@pytest.fixture
def build_airnet(airnet_cfg: Callable[..., Any]) -> Callable[..., Any]:
    """A factory of models of :func:`airnet_cfg`, with seeded random weights."""

    def make(*opts: str, config: str = "airnet_r18_demo") -> Any:
        import torch
        from fastreid.modeling.meta_arch import build_model

        torch.manual_seed(0)
        return build_model(airnet_cfg(*opts, config=config))

    return make
