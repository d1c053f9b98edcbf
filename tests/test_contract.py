"""What plug-ins may offer: asked for by its type, and checked where it is registered."""

import ast
import inspect
from pathlib import Path

import pytest
from torch import nn

from fastreid_projects import contract
from fastreid_projects.contract_checks import OFFERS, check_offers
from fastreid_projects.losses import LOSSES, register_loss
from fastreid_projects.plugins import get_cfg

ROOT = Path(__file__).resolve().parents[1]
PROTOCOLS = {
    value
    for value in vars(contract).values()
    if inspect.isclass(value)
    and getattr(value, "_is_protocol", False)
    and value.__module__ == contract.__name__
}


def members(protocol):
    return {n for n in {**inspect.get_annotations(protocol), **vars(protocol)} if not n.startswith("_")}


def test_nothing_of_the_contract_is_asked_for_by_its_name():
    hooks = set().union(*map(members, PROTOCOLS)) - {"forward"}
    found = []
    for folder in ("fastreid_projects", "projects", "tools"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id
                if called in ("getattr", "hasattr", "setattr", "delattr"):
                    name = node.args[1]
                    if isinstance(name, ast.Constant) and name.value in hooks:
                        found.append(f"{path.relative_to(ROOT)}:{node.lineno} {name.value}")
    assert not found


def test_every_offer_is_checked_and_explained():
    of_instances = {contract.TrainsOnly, contract.CountsJunk, contract.CountsItems}
    assert set().union(*OFFERS.values()) == PROTOCOLS - of_instances
    for protocol in PROTOCOLS:
        assert inspect.getdoc(protocol)


def test_all_that_is_registered_here_keeps_what_it_offers():
    get_cfg()
    from fastreid.data.datasets import DATASET_REGISTRY
    from fastreid.modeling.heads import REID_HEADS_REGISTRY
    from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

    kinds = {"architecture": META_ARCH_REGISTRY, "head": REID_HEADS_REGISTRY, "dataset": DATASET_REGISTRY}
    for kind, registry in kinds.items():
        for name, cls in registry._obj_map.items():
            check_offers(kind, name, cls)
    assert isinstance(META_ARCH_REGISTRY.get("MPN"), contract.HasDataset)
    assert isinstance(META_ARCH_REGISTRY.get("AMD"), contract.ChecksConfig)
    assert isinstance(DATASET_REGISTRY.get("VehicleID"), contract.DrawsGallery)
    assert not isinstance(DATASET_REGISTRY.get("Market1501"), contract.DrawsGallery)


def test_the_page_on_plug_ins_names_every_offer():
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    for protocol in PROTOCOLS:
        for member in members(protocol):
            assert f"`{member}" in page


class Half:
    def explained_stages(self):
        """One of two."""


class FewArguments:
    def build_evaluator(self, cfg, dataset_name):
        """Is called with four."""


class NotStatic:
    def own_dataset(self, cfg, is_train):
        """Is called on the class."""


class Misnamed:
    def build_evaluators(self, cfg, dataset_name, loader, num_query):
        """Nothing asks for it."""


class WrongKind:
    output_kind = 3
    output_names = ()


class Called:
    @property
    def saliency_parts(self):
        """Is called."""


class BareName:
    architecture = ("MPN",)


@pytest.mark.parametrize(
    ("kind", "cls", "words"),
    [
        (
            "architecture",
            Half,
            "the architecture Toy has no 'explained_branches', which goes with its 'explained_stages'",
        ),
        (
            "architecture",
            FewArguments,
            "it is called as build_evaluator(cfg, dataset_name, loader, num_query)",
        ),
        ("architecture", NotStatic, "'own_dataset' as a static or class method"),
        ("architecture", WrongKind, "'output_kind' as 3, but it has to be of the type str"),
        ("architecture", Called, "'saliency_parts' as a property, but it is called"),
        ("head", BareName, "the head Toy offers 'architecture' as ('MPN',)"),
    ],
)
def test_a_half_kept_offer_is_refused(kind, cls, words):
    with pytest.raises(TypeError) as caught:
        check_offers(kind, "Toy", cls)
    assert words in str(caught.value)


def test_a_misspelt_offer_is_warned_of():
    with pytest.warns(
        UserWarning, match="has 'build_evaluators', which is never used; did you mean 'build_evaluator'"
    ):
        check_offers("architecture", "Toy", Misnamed)


def test_a_registry_of_the_host_checks():
    get_cfg()
    from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

    with pytest.raises(TypeError, match="the architecture Half has no 'explained_branches'"):
        META_ARCH_REGISTRY.register(Half)
    assert "Half" not in META_ARCH_REGISTRY._obj_map


def test_a_backbone_is_checked_when_it_is_built(tiny_cfg, monkeypatch):
    """A function is registered, which does not say what it returns."""
    from fastreid.modeling.backbones import BACKBONE_REGISTRY, build_backbone

    class Cut(nn.Conv2d):
        def five_stages(self, image):
            """Is called without one."""

    cfg = tiny_cfg("MODEL.BACKBONE.NAME", "cut_backbone", "MODEL.BACKBONE.PRETRAIN", False)
    monkeypatch.setitem(BACKBONE_REGISTRY._obj_map, "cut_backbone", lambda cfg: Cut(3, 3, 1))
    with pytest.raises(TypeError, match=r"the backbone cut_backbone offers 'five_stages\(self, image\)'"):
        build_backbone(cfg)


def test_a_loss_that_cannot_be_called_is_refused():
    class OneArgument(nn.Module):
        inputs, config_node = "features", ""

        @classmethod
        def from_config(cls, cfg):
            return cls()

        def forward(self, features):
            return features.sum()

    with pytest.raises(TypeError, match=r"it is called as forward\(inputs, labels\)"):
        register_loss(OneArgument)
    assert "OneArgument" not in LOSSES


def test_people_are_those_of_the_dataset_that_is_named():
    get_cfg()
    from fastreid_projects.data.datasets import people_of

    assert people_of("DemoReIDMisaligned") == people_of("DemoReID") == "DemoReID"
    assert people_of("DemoReIDB") == "DemoReIDB"
    assert people_of("Market1501") == "market1501"
