"""Measuring side by side, and run records."""

import json
import math
import time

import numpy as np

from fastreid_projects.engine.measure import compare, report
from fastreid_projects.engine.record import environment, write_record


def test_ratios_are_against_the_last_way(tmp_path):
    ways = [("fast", lambda: time.sleep(0.002)), ("slow", lambda: time.sleep(0.02))]
    fast, slow = compare("sleep", ways, repeats=3)
    assert slow.ratio == 1.0
    assert fast.ratio == slow.seconds / fast.seconds > 3
    table = report([fast, slow], tmp_path / "b.json")
    assert "fast" in table
    record = json.loads((tmp_path / "b.json").read_text())
    assert [m["name"] for m in record["measurements"]] == ["fast", "slow"]
    assert {"commit", "versions", "hardware"} <= set(record)


def test_peak_memory_sees_an_array():
    ways = [("large", lambda: np.ones(50 * 2**20, np.uint8).sum()), ("small", lambda: None)]
    large, small = compare("memory", ways, repeats=1)
    if large.peak_mib is not None:  # known on Linux alone
        assert 40 < large.peak_mib < 120
        assert small.peak_mib < 20


def test_a_record_is_plain_json_and_never_half_there(tmp_path):
    path = tmp_path / "deep" / "run.json"
    write_record(path, {"a": np.float32(1.5), "b": float("nan"), "c": {"d": [1, True, None, "x"]}})
    assert json.loads(path.read_text()) == {"a": 1.5, "b": None, "c": {"d": [1, True, None, "x"]}}
    assert [p.name for p in path.parent.iterdir()] == ["run.json"]


def test_environment_names_versions_and_hardware():
    found = environment()
    assert "torch" in found["versions"]
    assert found["hardware"]["cores"] >= 1
    assert not math.isnan(found["hardware"]["torch_threads"])
