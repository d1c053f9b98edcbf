"""Every YAML file of the repository: it loads, builds, is named after its content, and has no redundant keys."""

import functools
import importlib
import os
import re
from collections import Counter
from pathlib import Path

import pytest
from fastreid.config import get_cfg as host_cfg
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

from fastreid_projects.amd.build import target_config
from fastreid_projects.amd.data.choice import resolve_attribute_set
from fastreid_projects.amd.targets import FrozenTarget
from fastreid_projects.config import all_keys, config_leaves, load_config
from fastreid_projects.config.checks import check_host_config, check_training_config
from fastreid_projects.config.yaml_files import read_with_bases
from fastreid_projects.engine.stages import build_stages
from fastreid_projects.host.modeling.meta_arch.losses import INPUTS
from fastreid_projects.losses import check_loss_names
from fastreid_projects.plugins import PAPERS
from tests.yaml_files import ALL, BLOCKS, ROOT, RUNNABLE

INTERPRETERS = [
    path for path in RUNNABLE if path.is_relative_to(ROOT / "projects/AMD") and "_target_" not in path.stem
]
# In names and folders -> as registered.
DATASETS = {
    "market1501": "Market1501",
    "dukemtmc": "DukeMTMC",
    "msmt17": "MSMT17",
    "cuhk03_labeled": "CUHK03",
    "cuhk03_detected": "CUHK03Detected",
    "veri776": "VeRi",
    "vehicleid": "LargeVehicleID",
    "cifar100": "CIFAR100",
    "demo": "DemoReID",
    "demob": "DemoReIDB",
    "cifar_demo": "DrawnCIFAR100",
    "folderreid": "FolderReID",
    "mars_subset": "Market1501",  # in its layout
}
# In names -> MODEL.BACKBONE's NAME and DEPTH; ResNets have theirs in the name.
BACKBONES = {
    "osnet": ("build_osnet_backbone", "x1_0"),
    "vit": ("build_vit_backbone", "base"),
    "timm_vit": ("build_timm_backbone", "vit_base_patch16_224"),
    "timm_mobilenetv2": ("build_timm_backbone", "mobilenetv2_100"),
}
NAME = re.compile(
    rf"(?P<method>[a-z][a-z0-9]*(_[a-z0-9]+)*?)_(?P<backbone>r(?P<depth>\d+)(?P<ibn>ibn)?|{'|'.join(BACKBONES)})_(?P<train>{'|'.join(DATASETS)})"
    rf"(_to_(?P<test>{'|'.join(DATASETS)}))?"
)


def relative(path):
    return str(path.relative_to(ROOT))


each_run = pytest.mark.parametrize("path", RUNNABLE, ids=relative)
each_file = pytest.mark.parametrize("path", ALL, ids=relative)


@functools.cache
def files_of(path):
    return read_with_bases(relative(path))


@functools.cache
def loaded(path):
    return load_config(str(path))


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


# They work


@pytest.mark.parametrize("path", BLOCKS, ids=relative)
def test_a_block_loads(path):
    load_config(str(path))


@each_run
def test_it_fits_the_host_and_its_losses_are_known_and_fed(path):
    cfg = loaded(path)
    check_host_config(cfg)
    check_training_config(cfg)
    assert cfg.DATASETS.NAMES
    assert cfg.DATASETS.TESTS
    assert (cfg.MODEL.META_ARCHITECTURE == "AMD") == (path in INTERPRETERS)
    inputs = ("attribute distances",) if path in INTERPRETERS else INPUTS
    check_loss_names(cfg.MODEL.LOSSES.NAME, inputs, cfg.MODEL.META_ARCHITECTURE)
    assert build_stages(cfg)[-1].cfg.OUTPUT_DIR == cfg.OUTPUT_DIR


# tests/config/test_unread.py builds their models.


def build(cfg):
    """A host model of the config, without weights."""
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.MODEL.HEADS.NUM_CLASSES = 4
    return META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)


@pytest.mark.parametrize("path", INTERPRETERS, ids=relative)
def test_every_interpreter_has_a_target(path, tmp_path, monkeypatch):
    """Its weights are there only after a training run; all else is, but for own pictures."""
    cfg = loaded(path)
    if path.parent.name == "folderreid":
        monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
        (tmp_path / "FolderReID").mkdir()
        words = "attributes:\n  hat: {phrase: hat}\n  bag: {phrase: bag}\n"
        (tmp_path / "FolderReID" / "attributes.yaml").write_text(words)
    assert len(resolve_attribute_set(cfg)) in (2, 23, 26)
    target = target_config(cfg)
    assert cfg.INPUT.SIZE_TEST == target.INPUT.SIZE_TEST, "the target was trained at another size"
    if path.parent.name in ("demo", "market1501"):  # elsewhere the targets are the same models
        frozen = FrozenTarget(build(target), cfg.MODEL.AMD.SHARED_STAGES)
        assert not any(parameter.requires_grad for parameter in frozen.parameters())


# They are called what they are


@each_run
def test_its_name_is_method_backbone_dataset_and_its_folder_that_of_its_dataset(path):
    name = NAME.fullmatch(path.stem)
    assert name, "call it <method>_<backbone>_<dataset>.yml"
    assert not re.search(r"_0\d", path.stem), "write a decimal such as 0.01 as 0p01"
    cfg = loaded(path)
    others = name["method"] == "pretrain"  # learned from persons who are in no other set
    train, test = DATASETS[name["train"]], DATASETS[name["test"] or name["train"]]
    train, test = ("DemoReIDOthers", "DemoReIDOthers") if others else (train, test)
    assert (train.replace("LargeVehicleID", "VehicleID"),) == cfg.DATASETS.NAMES
    assert cfg.DATASETS.TESTS[0] == test
    model = (target_config(cfg) if path in INTERPRETERS else cfg).MODEL.BACKBONE
    if name["depth"]:
        assert f"{name['depth']}x" == model.DEPTH
        assert model.NAME not in {builder for builder, _ in BACKBONES.values()}
    else:
        assert BACKBONES[name["backbone"]] == (model.NAME, model.DEPTH)
    assert (name["ibn"] is not None) == model.WITH_IBN
    folder = path.parent.name
    demo = folder == "demo"
    assert demo == (name["train"] in ("demo", "cifar_demo"))
    assert demo or folder == "ablations" or folder == (name["test"] or name["train"])


def test_no_two_files_have_one_name():
    """A ``_BASE_`` such as ``_blocks/demo.yml`` would mean the nearest one."""
    names = Counter(path.stem for path in ALL)
    assert [name for name, count in names.items() if count > 1] == []


def test_every_run_has_a_folder_of_its_own():
    """A second run in the first one's folder would resume it."""
    folders = [loaded(path).OUTPUT_DIR for path in RUNNABLE]
    assert all(folders)
    assert load_config().OUTPUT_DIR not in folders
    assert not any(map(os.path.isabs, folders))
    assert len(folders) == len(set(folders))


# They say only what is their own


def values_of(files):
    return {key: value for file in files for key, value in config_leaves(file.values)}


@each_file
def test_it_repeats_nothing_that_it_builds_on(path):
    *bases, own = files_of(path)
    below = values_of(bases)
    again = {key: value for key, value in values_of([own]).items() if below.get(key, ...) == value}
    assert again == {}


def test_every_block_is_used_and_is_no_run():
    used = {os.path.realpath(file.path) for path in RUNNABLE for file in files_of(path)}
    for path in BLOCKS:
        assert str(path) in used, f"{relative(path)} is used by no config"
        assert "OUTPUT_DIR" not in values_of(files_of(path)), f"{relative(path)} has the folder of a run"


def keys_of(paper):
    """The config keys that a paper adds."""
    module, function = paper.add_config.split(":")
    cfg = host_cfg()
    before = set(all_keys(cfg))
    getattr(importlib.import_module(module), function)(cfg)
    return set(all_keys(cfg)) - before


def test_nothing_holds_another_papers_values():
    """What papers share is the host's; a paper's own keys stand in its own folder."""
    papers = {name: keys_of(paper) for name, paper in PAPERS.items()}
    for path in ALL:
        folder = path.relative_to(ROOT).parts
        owner = folder[1] if folder[0] == "projects" else ""
        others = set().union(*(keys for name, keys in papers.items() if name != owner))
        assert not others & values_of(files_of(path)[-1:]).keys(), relative(path)
        for file in files_of(path):
            base = Path(file.path).resolve().relative_to(ROOT).parts
            assert base[0] == "configs" or base[:2] == ("projects", owner), f"{relative(path)}: {file.path}"
