"""Other synthetic persons to learn a start from: none is in another set, and their attributes are learned."""

import pytest
import torch
from fastreid.data.build import CommDataset
from fastreid.modeling.meta_arch import build_model
from fastreid.utils.events import EventStorage

from fastreid_projects.config import load_config
from fastreid_projects.contract import Source
from fastreid_projects.data.attributes import DEMO
from fastreid_projects.data.demo.dataset import DemoReIDOthers
from fastreid_projects.data.demo.plan import SPECS, plan_dataset
from fastreid_projects.data.demo.pretraining import PlannedAttributes
from fastreid_projects.errors import ConfigError
from tests.yaml_files import ROOT

CONFIG = str(ROOT / "configs" / "demo" / "pretrain_r18_demo.yml")


def test_a_thousand_persons_of_whom_none_is_in_another_set():
    plan = plan_dataset(SPECS["P"])
    assert len(plan.train) >= 1000
    own = {*plan.train.values(), *plan.test.values()}
    for name in SPECS.keys() - {"P"}:
        other = plan_dataset(SPECS[name])
        assert SPECS[name].seed != SPECS["P"].seed
        assert not own & {*other.train.values(), *other.test.values()}


class Drawn(DemoReIDOthers):
    """The set without its images."""

    def __init__(self):
        pass


def items(count):
    pids = list(plan_dataset(SPECS["P"]).train)[:count]
    return [(f"{pid}.jpg", f"demop_{pid}", "demop_0") for pid in pids]


def test_the_attributes_are_those_that_were_planned(monkeypatch):
    monkeypatch.setattr(CommDataset, "__getitem__", lambda self, index: {"targets": index})
    people = plan_dataset(SPECS["P"]).train
    data = PlannedAttributes([Source("DemoReIDOthers", Drawn(), items(5))], None)
    for index, pid in enumerate(list(people)[:5]):
        assert data[index]["attributes"].tolist() == list(people[pid].attributes)
        assert data[index]["targets"] == index
    with pytest.raises(ConfigError, match=r"DATASETS\.NAMES Market1501 is not a synthetic set"):
        PlannedAttributes([Source("Market1501", object(), items(1))], None)


def test_it_learns_identities_and_attributes():
    torch.manual_seed(0)
    model = build_model(load_config(CONFIG, ["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "2"]))
    batch = {
        "images": torch.rand(4, 3, 128, 64) * 255,
        "targets": torch.tensor([0, 0, 1, 1]),
        "attributes": (torch.rand(4, len(DEMO)) > 0.5).float(),
    }
    with EventStorage():
        losses = model.train()(batch)
    assert set(losses) == {"loss_cls", "loss_triplet", "loss_attributes"}
    assert losses["loss_attributes"].item() == pytest.approx(0.69, abs=0.5)
    losses["loss_attributes"].backward()
    assert model.backbone.conv1.weight.grad.any(), "the backbone learns from the attributes"
    with torch.no_grad():
        assert model.eval()({"images": batch["images"]}).shape == (4, 512)


def test_a_twin_starts_from_its_weights(tmp_path):
    torch.manual_seed(0)
    first = build_model(load_config(CONFIG, ["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "2"]))
    torch.save({"model": first.state_dict()}, tmp_path / "start.pth")
    twin = ROOT / "projects/FIDI/configs/demo/fidi_bagtricks_pretrained_r18_demo.yml"
    opts = ["MODEL.DEVICE", "cpu", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "start.pth")]
    second = build_model(load_config(str(twin), [*opts, "MODEL.HEADS.NUM_CLASSES", "2"]))
    for name, value in first.backbone.state_dict().items():
        assert torch.equal(value, second.backbone.state_dict()[name]), name
