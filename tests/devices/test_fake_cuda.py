"""The fake device sees tensors that stay behind and what waits; and each architecture takes a step on it."""

import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.modeling.meta_arch.baseline import Baseline

from fastreid_projects import plugins
from tests.devices.fake_cuda import DEVICE, fake_cuda
from tests.devices.models import build, config_of, fitted, train
from tests.yaml_files import ROOT, config_file

plugins.register_all()
SMALL = [
    *("bagtricks_r18_demo", "sbs_r18_demo", "airnet_r18_demo", "amd_r18_demo", "fidi_bdb_r18_demo"),
    *("mpn_r18_demo", "sal_r18_demo", "sal_r18_cifar_demo"),
]


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def tiny(tiny_cfg):
    """The config of a small Baseline."""
    return fitted(tiny_cfg())


@pytest.fixture
def planted(monkeypatch, tiny):
    """A factory: let the Baseline's losses do something more with the batch's features."""

    def plant(work):
        losses = Baseline.losses

        def planted_losses(self, outputs, labels):
            work(outputs["features"], labels)
            return losses(self, outputs, labels)

        monkeypatch.setattr(Baseline, "losses", planted_losses)
        with fake_cuda() as traffic:
            return train(tiny, build(tiny), "bfloat16", traffic)

    return plant


def test_a_tensor_left_on_the_cpu_fails(planted):
    with pytest.raises(RuntimeError, match=r"devices? .*(lazy.*cpu|cpu.*lazy)"):
        planted(lambda features, labels: features + torch.ones(features.shape[1]))


def test_a_module_whose_tensor_is_no_buffer_fails(monkeypatch, tiny):
    init = Baseline.__init__

    def with_a_plain_tensor(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.scale = torch.ones(3, 1, 1)

    monkeypatch.setattr(Baseline, "__init__", with_a_plain_tensor)
    preprocess = Baseline.preprocess_image
    monkeypatch.setattr(
        Baseline, "preprocess_image", lambda self, batch: preprocess(self, batch) * self.scale
    )
    with fake_cuda() as traffic:
        model = build(tiny)
        with pytest.raises(RuntimeError, match="two different devices"):
            train(tiny, model, "float16", traffic)


@pytest.mark.parametrize(
    ("work", "kind"),
    [
        (lambda features, labels: float(features.detach().sum()), "wait"),
        (lambda features, labels: features.sum().item(), "wait"),
        (lambda features, labels: bool((labels > 3).any()), "wait"),
        (lambda features, labels: labels.tolist(), "wait"),
        (lambda features, labels: features.detach().cpu(), "wait"),
        (lambda features, labels: features[labels > 3], "wait"),
        (lambda features, labels: (labels > 3).nonzero(), "wait"),
        (lambda features, labels: labels.unique(), "wait"),
        (lambda features, labels: features[torch.arange(2)], "up"),
        (lambda features, labels: torch.zeros(3).to(features.device), "up"),
    ],
    ids=["float", "item", "bool", "tolist", "cpu", "mask", "nonzero", "unique", "index", "to"],
)
def test_what_waits_or_travels_is_noted_with_its_line(planted, work, kind):
    found = planted(work).of(kind)
    assert {transfer.place.split(":")[0] for transfer in found} == {"devices/test_fake_cuda.py"}, found


def test_without_one_a_step_in_bfloat16_waits_for_nothing(planted):
    assert [transfer.kind for transfer in planted(lambda features, labels: None).transfers] == ["down"]


@pytest.mark.parametrize("name", SMALL)
def test_a_step_of_each_architecture(name):
    with fake_cuda() as traffic:
        cfg = config_of(config_file(name))
        train(cfg, build(cfg), "bfloat16", traffic)
        assert [transfer.kind for transfer in traffic.transfers] == ["down"]


def test_every_architecture_of_this_project_is_among_them():
    own = {
        name
        for name, cls in META_ARCH_REGISTRY._obj_map.items()
        if cls.__module__.startswith("fastreid_projects")
    }
    tried = {config_of(config_file(name)).MODEL.META_ARCHITECTURE for name in SMALL}
    assert own - tried == {"IdentityAndAttributes"}, "it is in test_training.py"


def test_the_device_is_gone_afterwards():
    with fake_cuda():
        assert torch.ones(1, device=DEVICE).is_cuda
    assert not torch.ones(1).is_cuda
    assert torch.ones(2).numpy().tolist() == [1, 1]
