"""Measuring side by side, and run records."""

import json
import math
import time

import numpy as np

from fastreid_projects.benchmarks import measure
from fastreid_projects.benchmarks.measure import compare, report
from fastreid_projects.records.record import environment, write_record


class Clock:
    """A clock that only moves when told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def pass_by(self, seconds):
        """A function that takes so long."""

        def run():
            self.now += seconds

        return run


def test_ratios_are_against_the_last_way(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(measure, "_clock", clock)
    fast, slow = compare("clock", [("fast", clock.pass_by(0.25)), ("slow", clock.pass_by(2.0))], repeats=3)
    assert (fast.seconds, slow.seconds) == (0.25, 2.0)
    assert (fast.ratio, slow.ratio) == (8.0, 1.0)
    table = report([fast, slow], tmp_path / "b.json")
    assert "fast" in table
    record = json.loads((tmp_path / "b.json").read_text())
    assert [m["name"] for m in record["measurements"]] == ["fast", "slow"]
    assert {"commit", "versions", "hardware"} <= set(record)


def test_peak_memory_sees_an_array():
    """A system that takes pages back meanwhile lowers the figure: one of three has to be right."""
    ways = [("large", lambda: np.ones(200 * 2**20, np.uint8).sum()), ("small", lambda: None)]
    peaks = [[m.peak_mib for m in compare("memory", ways, repeats=1)] for _ in range(3)]
    if peaks[0][0] is not None:  # known on Linux alone
        assert 150 < max(large for large, _ in peaks) < 300
        assert min(small for _, small in peaks) < 50


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


def test_processor_time_does_not_count_waiting(monkeypatch):
    monkeypatch.setattr(measure, "_clock", measure._clock)
    measure.count_processor_time()
    (waiting,) = compare("clock", [("waiting", lambda: time.sleep(0.5))], repeats=2)
    assert waiting.seconds < 0.4
