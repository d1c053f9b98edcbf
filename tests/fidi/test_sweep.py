"""Fig. 3 and 9: the curves are the losses, and a sweep trains, resumes and draws what it found."""

import csv
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.fidi import sweep
from fastreid_projects.fidi.curves import COLUMNS, loss_curves, write_curves

ROOT = Path(__file__).resolve().parents[2]


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_curves_are_those_of_the_figure():
    curves = loss_curves(alpha=1.05, beta=0.5, margin=0.3, longest=10, points=11)
    assert tuple(curves) == COLUMNS
    for i, d in enumerate(range(11)):
        u = math.exp(-0.5 * d)
        assert curves["distance"][i] == pytest.approx(d)
        assert curves["exponential"][i] == pytest.approx(u)
        assert curves["sigmoid"][i] == pytest.approx(2 / (1 + math.exp(0.5 * d)))
        assert curves["fidi_negative"][i] == pytest.approx(u * math.log(21))
        expected = u * math.log(1.05 * u / (0.05 * u + 1)) + math.log(1.05 / (0.05 + u))
        assert curves["fidi_positive"][i] == pytest.approx(expected, abs=1e-12)
        assert curves["triplet_negative"][i] == pytest.approx(max(0, 5.3 - d))
        assert curves["triplet_positive"][i] == pytest.approx(max(0, d - 4.7))


def test_curves_are_written(tmp_path):
    table, plot = write_curves(tmp_path / "out")
    assert len(rows_of(table)) == 201
    assert Image.open(plot).size[0] > 1000


def test_one_parameter_is_varied_at_a_time():
    points = list(sweep.sweep_points("out", [1.05, 2], [0.1], [3, 4], ["MODEL.DEVICE", "cpu"]))
    assert [(p.varied, p.value, p.seed) for p in points] == [
        ("ALPHA", 1.05, 3),
        ("ALPHA", 1.05, 4),
        ("ALPHA", 2, 3),
        ("ALPHA", 2, 4),
        ("BETA", 0.1, 3),
        ("BETA", 0.1, 4),
    ]
    assert len({p.folder for p in points}) == 6
    assert points[0].opts[:4] == ("MODEL.DEVICE", "cpu", "MODEL.LOSSES.FIDI.ALPHA", "1.05")


def test_a_sweep_trains_what_is_missing_and_writes_it(tiny_cfg, tiny_market, tmp_path, monkeypatch):
    tiny_market(ids=4, images=2)
    names = (
        "DATASETS.NAMES",
        ("Market1501",),
        "DATASETS.TESTS",
        ("Market1501",),
        "TEST.FIDELITY.ENABLED",
        True,
    )
    config = tmp_path / "model.yml"
    config.write_text(tiny_cfg(*names).dump().replace("- TripletLoss", "- FIDILoss"))
    points = list(sweep.sweep_points(str(tmp_path / "sweep"), [1.2, 2.0], [0.3], [1]))
    with pytest.raises(DataError, match="does not exist"):
        sweep.write_sweep(tmp_path, points)
    sweep.run_sweep(str(config), points)
    monkeypatch.setattr(sweep, "run", None)  # nothing is trained twice
    sweep.run_sweep(str(config), points)
    others = sweep.sweep_points(str(tmp_path / "sweep"), [1.2], [], [1], ["SOLVER.BASE_LR", "0.5"])
    with pytest.raises(ConfigError, match=r"alpha_1\.2.*SOLVER\.BASE_LR .*, not 0\.5: remove it"):
        sweep.run_sweep(str(config), list(others))
    table, plot = sweep.write_sweep(tmp_path / "sweep", points)
    rows = rows_of(table)
    assert [(row["varied"], row["value"]) for row in rows] == [
        ("alpha", "1.2"),
        ("alpha", "2.0"),
        ("beta", "0.3"),
    ]
    assert all(0 < float(row["mAP"]) <= 100 and float(row["Error-I"]) >= 0 for row in rows)
    assert Image.open(plot).size[0] > 800
    interrupted = tmp_path / "sweep" / "alpha_1.2" / "seed_1"
    (interrupted / "run.json").unlink()
    others = sweep.sweep_points(str(tmp_path / "sweep"), [1.2], [], [1], ["SOLVER.BASE_LR", "0.5"])
    with pytest.raises(ConfigError, match=r"alpha_1\.2.*SOLVER\.BASE_LR .*, not 0\.5: remove it"):
        sweep.run_sweep(str(config), list(others))
    sweep.check_sweep(str(config), points)


def test_every_value_has_its_own_folder(tiny_cfg, tmp_path):
    near = list(sweep.sweep_points("out", [1.000001, 1.0000001, 2], [], [1]))
    assert len({point.folder for point in near}) == 3
    assert near[2].folder == os.path.join("out", "alpha_2", "seed_1")
    twice = list(sweep.sweep_points("out", [1.5, 1.5], [], [1]))
    with pytest.raises(ConfigError, match=r"alpha_1\.5.*name each value and each seed once"):
        sweep.check_sweep("x.yml", twice)


def test_a_config_without_fidi_is_refused(tiny_cfg, tmp_path):
    config = tmp_path / "model.yml"
    config.write_text(tiny_cfg().dump())
    with pytest.raises(ConfigError, match="needs FIDILoss"):
        sweep.run_sweep(str(config), list(sweep.sweep_points("out", [2.0], [], [1])))


def test_a_value_out_of_range_is_refused_before_the_first_training(tiny_cfg, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "run", None)
    config = tmp_path / "model.yml"
    config.write_text(tiny_cfg().dump().replace("- TripletLoss", "- FIDILoss"))
    with pytest.raises(ConfigError, match=r"^MODEL\.LOSSES\.FIDI: alpha"):
        sweep.run_sweep(str(config), list(sweep.sweep_points("out", [2.0, 0.5], [], [1])))


def test_the_command_draws_the_curves(tmp_path):
    command = [sys.executable, str(ROOT / "tools" / "fidi_sweep.py"), "--output", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["out/curves.csv", "out/curves.png", "out/balance.csv", "out/balance.png"]
    assert all((tmp_path / path).is_file() for path in done.stdout.split())
