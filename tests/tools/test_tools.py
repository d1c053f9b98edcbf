"""The commands start, and the benchmark measures every case."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*words, cwd, **env):
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def test_benchmark_measures_every_case(tmp_path):
    done = run(ROOT / "tools" / "benchmark.py", "--quick", "--output", tmp_path / "b.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "b.json").read_text())
    cases = {m["case"] for m in record["measurements"]}
    models = {
        "AMD, behind the backbone",
        "AMD, explaining",
        "AMD, maps of a pair",
        "inference",
        "models, training step",
        "attention pooling",
        "MPN, training step",
        "MPN, inference",
        "SAL, training step",
        "re-ranking",
        *(f"pair losses, {batch}" for batch in ("random", "clustered", "collapsed")),
        "processes, training step",
        "features of pictures",
        "index, building",
        "index, asking",
        "search",
        "re-ranking, by device",
        "trainer's step",
        "loader",
        *(f"64 JPEGs of {size}" for size in ("128x64", "256x128", "1024x512")),
    }
    assert cases == {"AMD decomposition", "ranking", "training step", "AMD evaluation"} | models
    costs = {m["name"]: m["cost"] for m in record["measurements"] if m["case"] == "inference"}
    assert costs["AIR-Net, IBN-ResNet-50"]["parameters"] == 42_681_408
    assert costs["BoT, ResNet-50"]["parameters"] == 23_512_128
    assert all(cost["flops"] > 1e8 for cost in costs.values())
    assert all(m["seconds"] > 0 for m in record["measurements"])
    for case in cases:
        assert case in done.stdout


def test_train_net_explains_itself(tmp_path):
    done = run(ROOT / "tools" / "train_net.py", "--help", cwd=tmp_path)
    assert "--config-file" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("tool", ["train_net", "export", "explain"])
def test_ctrl_c_while_a_tool_imports_is_one_line(tool, tmp_path):
    """The host is imported by a signal to oneself."""
    (tmp_path / "fastreid").mkdir()
    (tmp_path / "fastreid" / "__init__.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)\n"
    )
    words = ["--config-file", "x.yml"]
    done = run(ROOT / "tools" / f"{tool}.py", *words, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 130
    assert done.stderr == "Interrupted\n"
