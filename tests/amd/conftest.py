"""A small target with random weights, and an interpreter on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

import fastreid_projects  # noqa: F401
from fastreid_projects.config import load_config

ROOT = Path(__file__).resolve().parents[2]
TARGET = str(ROOT / "projects" / "AMD" / "configs" / "demo" / "amd_target_r18_demo.yml")
INTERPRETER = str(ROOT / "projects" / "AMD" / "configs" / "demo" / "amd_r18_demo.yml")


def save_target(folder: Path, *opts: str, config: str = TARGET) -> tuple[str, str]:
    """Build a target with random weights; the paths of its config and its checkpoint."""
    torch.manual_seed(0)
    cfg = load_config(config, ["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "7", *opts])
    model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)
    for module in model.modules():  # statistics as after some training, so that eval mode is not the identity
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    folder.mkdir(parents=True, exist_ok=True)
    cfg.STAGES = []
    (folder / "config.yaml").write_text(cfg.dump())
    torch.save({"model": model.state_dict()}, folder / "model_final.pth")
    return str(folder / "config.yaml"), str(folder / "model_final.pth")


@pytest.fixture(scope="session")
def target_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Config and checkpoint of the small SBS target."""
    return save_target(tmp_path_factory.mktemp("target"))


@pytest.fixture
def amd_config(target_files: tuple[str, str], tmp_path: Path) -> Callable[..., Any]:
    """The demo interpreter's config on the small target, with overrides; its runs are not those of ``make demo``."""

    def make(*opts: str) -> Any:
        config, weights = target_files
        own = ["MODEL.AMD.TARGET.CONFIG", config, "MODEL.AMD.TARGET.WEIGHTS", weights, "MODEL.DEVICE", "cpu"]
        return load_config(INTERPRETER, [*own, "OUTPUT_DIR", str(tmp_path / "logs"), *opts])

    return make


@pytest.fixture
def build_amd(amd_config: Callable[..., Any]) -> Callable[..., Any]:
    """The demo interpreter, with overrides."""

    def make(*opts: str) -> Any:
        torch.manual_seed(1)
        return META_ARCH_REGISTRY.get("AMD")(amd_config(*opts))

    return make
