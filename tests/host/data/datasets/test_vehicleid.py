"""VehicleID: query and gallery follow from their own seed, and metrics may be means over several draws."""

import random

import numpy as np
import pytest
import torch

from fastreid_projects.evaluation.draws import draw_gallery
from fastreid_projects.plugins import get_cfg
from tests.layouts import draw, vehicleid

get_cfg()  # registers ours
from fastreid.data.datasets import DATASET_REGISTRY  # noqa: E402


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """VehicleID with ten test vehicles of four images that resemble each other, so that a draw matters."""
    root = tmp_path / "data"
    vehicleid(root)
    lines = []
    for number in range(1000, 1040):
        draw(root / "VehicleID" / "image" / f"{number:07d}.jpg", number % 7, number)
        lines.append(f"{number:07d} {100 + number % 10}\n")
    (root / "VehicleID" / "train_test_split" / "test_list_800.txt").write_text("".join(lines))
    monkeypatch.setenv("FASTREID_DATASETS", str(root))
    return root


def open_small(root, **kwargs):
    return DATASET_REGISTRY.get("SmallVehicleID")(root=str(root), **kwargs)


def test_the_split_follows_from_its_seed_alone(folder):
    random.seed(1)
    first = open_small(folder)
    random.seed(2)
    np.random.seed(2)
    torch.manual_seed(2)
    again = open_small(folder)
    assert (first.query, first.gallery) == (again.query, again.gallery)
    assert (len(first.query), len(first.gallery)) == (30, 10)
    assert {item[1] for item in first.gallery} == {item[1] for item in first.query}
    assert open_small(folder, split_seed=1).gallery != first.gallery


def test_the_order_of_the_list_does_not_matter(folder):
    first = open_small(folder)
    path = folder / "VehicleID" / "train_test_split" / "test_list_800.txt"
    path.write_text("".join(sorted(path.read_text().splitlines(keepends=True), reverse=True)))
    assert open_small(folder).gallery == first.gallery


def test_each_image_is_drawn_alike_often():
    items = [(name, 7) for name in "abcd"]
    counts = np.bincount([draw_gallery(items, seed)[1][0] for seed in range(800)])
    assert (np.abs(counts - 200) < 60).all()  # five standard deviations


def test_an_evaluation_gives_what_the_training_gave_and_draws_are_averaged(folder, command, capsys):
    trained = command("SmallVehicleID")

    def evaluated(*options):
        weights = ("MODEL.WEIGHTS", "logs/model_final.pth")
        return command("SmallVehicleID", "--eval-only", *weights, *options, output="tests")

    assert evaluated()["metrics"] == trained["metrics"]
    by_seed = [evaluated("DATASETS.SPLIT_SEED", str(seed))["metrics"] for seed in (3, 4, 5)]
    assert len({metrics["mAP"] for metrics in by_seed}) > 1
    capsys.readouterr()
    mean = evaluated("DATASETS.SPLIT_SEED", "3", "DATASETS.SPLIT_DRAWS", "3")
    for name, value in mean["metrics"].items():
        assert value == pytest.approx(np.mean([metrics[name] for metrics in by_seed]), rel=1e-6)
    counts = mean["counts"]["SmallVehicleID"]
    assert (counts["queries"], counts["counted"], counts["draws"]) == (30, 30, 3)
    assert "means over 3 draws" in capsys.readouterr().out


def test_draws_of_fixed_sets_are_refused(folder, command, capsys):
    command("SmallVehicleID", "DATASETS.SPLIT_DRAWS", "10", test="Market1501", code=2)
    assert "DATASETS.SPLIT_DRAWS is 10, but query and gallery" in capsys.readouterr().err.splitlines()[-1]
