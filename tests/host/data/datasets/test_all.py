"""Every dataset of the host in its published layout is opened, trained on and, where it has tests, evaluated twice."""

import contextlib
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.data.datasets import DATASET_REGISTRY

from fastreid_projects.data.datasets import build_dataset
from fastreid_projects.plugins import get_cfg
from tests.layouts import LAYOUTS, TRAIN_ONLY, market, three_folders

HOSTS = sorted(
    name for name, kind in DATASET_REGISTRY._obj_map.items() if kind.__module__.startswith("fastreid.data")
)


# This project's, read from the same folders or from own pictures.
OURS = {
    "CUHK03Detected": LAYOUTS["CUHK03"],
    "Market1501MultiQuery": market,
    "Market1501Distractors500k": market,
    "FolderReID": lambda root: three_folders(
        root / "FolderReID", "{pid}/c{cam}_{n}.jpg", ("train", "query", "gallery")
    ),
}
# Drawn by a program, or read by torchvision: their own tests compare them image by image.
DRAWN = {"DemoReID", "DemoReIDB", "DemoReIDMisaligned", "DemoReIDOthers", "CIFAR100", "DrawnCIFAR100"}


def test_every_dataset_has_a_layout():
    get_cfg()  # registers ours
    ours = {
        n for n, kind in DATASET_REGISTRY._obj_map.items() if kind.__module__.startswith("fastreid_projects.")
    }
    assert ours == set(OURS) | DRAWN
    assert set(LAYOUTS) == set(HOSTS)
    assert len(HOSTS) == 30


def test_the_table_of_datasets_names_them_all():
    text = (Path(__file__).resolve().parents[4] / "docs" / "datasets.md").read_text()
    assert not [name for name in HOSTS if f"`{name}`" not in text]


def opened(name, seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    data = build_dataset(name)
    return [[tuple(item) for item in part] for part in (data.train, data.query, data.gallery)]


@pytest.mark.parametrize("name", [*HOSTS, *OURS])
def test_the_items_depend_on_no_generator_and_no_order_of_the_files(name, tmp_path, monkeypatch):
    get_cfg()
    {**LAYOUTS, **OURS}[name](tmp_path)
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    first = opened(name, 1)
    listdir, scandir = os.listdir, os.scandir

    @contextlib.contextmanager
    def reversed_scan(path):
        with scandir(path) as entries:
            yield iter(list(entries)[::-1])

    class Scan(contextlib.ExitStack):
        """A scan that is iterated over, with and without entering it."""

        def __init__(self, path):
            super().__init__()
            self.entries = self.enter_context(reversed_scan(path))

        def __iter__(self):
            return self.entries

        def __next__(self):
            return next(self.entries)

    monkeypatch.setattr(os, "listdir", lambda *args: listdir(*args)[::-1])
    monkeypatch.setattr(os, "scandir", Scan)
    assert opened(name, 2) == first
    assert all(os.path.isfile(item[0]) for part in first for item in part)
    assert len({item[1] for item in first[0]}) >= 4


@pytest.mark.parametrize("name", HOSTS)
def test_a_training_and_two_evaluations(name, tmp_path, command):
    LAYOUTS[name](tmp_path / "data")
    test = name
    if name in TRAIN_ONLY:
        market(tmp_path / "data")
        test = "Market1501"
    trained = command(name, test=test)
    again = command(name, "--eval-only", "MODEL.WEIGHTS", "logs/model_final.pth", test=test, output="tests")
    assert again["metrics"] == trained["metrics"]
    counts = again["counts"][test]
    assert counts["counted"] == counts["queries"] > 0


def test_two_processes_read_the_same(tmp_path, command):
    """VehicleID, which draws, and CUHK03, whose images both processes want to unpack at first."""
    for name in ("VehicleID", "CUHK03"):
        LAYOUTS[name](tmp_path / "data")
    tests = "VehicleID','CUHK03"
    model = ["MODEL.BACKBONE.NAME", "build_resnet_backbone", "MODEL.BACKBONE.DEPTH", "18x"]
    model += ["MODEL.BACKBONE.FEAT_DIM", "512"]  # other processes do not know the tiny one
    two = command("CUHK03", "--num-gpus=2", *model, test=tests)
    weights = ("MODEL.WEIGHTS", "logs/model_final.pth")
    one = command("CUHK03", "--eval-only", *model, *weights, test=tests, output="tests")
    assert json.dumps(two["metrics"]) == json.dumps(one["metrics"])
