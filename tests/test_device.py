"""The config is fitted to the machine."""

import pytest
import torch
from fastreid.modeling.meta_arch import build_model

from fastreid_projects import device
from fastreid_projects.device import resolve_device

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")


@pytest.fixture
def warnings_of(host_log):
    device.warn_once.cache_clear()
    return host_log


@without_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_cuda_becomes_the_cpu_with_one_warning(name, tiny_cfg, warnings_of):
    cfg = tiny_cfg("MODEL.DEVICE", name)
    cfg.freeze()
    for _ in range(2):
        resolved = resolve_device(cfg)
        assert resolved.MODEL.DEVICE == "cpu"
        assert resolved.is_frozen()
    assert name == cfg.MODEL.DEVICE
    assert len(warnings_of.records) == 1


def test_mixed_precision_is_off_on_the_cpu(tiny_cfg, warnings_of):
    resolved = resolve_device(tiny_cfg("SOLVER.AMP.ENABLED", True))
    assert not resolved.SOLVER.AMP.ENABLED
    assert not resolved.is_frozen()
    assert [record.message for record in warnings_of.records] == [device.NO_AMP]


def test_what_fits_is_left_alone(tiny_cfg, monkeypatch):
    cfg = tiny_cfg()
    assert resolve_device(cfg) is cfg
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    cfg = tiny_cfg("MODEL.DEVICE", "cuda", "SOLVER.AMP.ENABLED", True)
    assert resolve_device(cfg) is cfg


@without_cuda
def test_a_model_for_cuda_is_built_on_the_cpu(tiny_cfg):
    model = build_model(tiny_cfg("MODEL.DEVICE", "cuda", "MODEL.HEADS.NUM_CLASSES", 2))
    assert model.device.type == "cpu"
