"""Processes that make masks: they end with the command, whoever ends it, and say one sentence."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from fastreid_projects.mpn.data.part_masks import mask_path

pytestmark = pytest.mark.slow
# A provider that takes its time, leaves the number of its process, and is killed at one image if asked to.
PROVIDER = """
import os, signal, time
from pathlib import Path
from fastreid_projects.mpn.providers.base import Found

class Slow:
    def __init__(self, options):
        pass

    @staticmethod
    def add_arguments(parser):
        pass

    def find(self, image, path):
        (Path(path).parents[2] / "pids" / str(os.getpid())).touch()
        if path.endswith("20.png") and os.environ.get("DEADLY"):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.2)
        return Found.nothing(image)
"""
# A script without a guard: no process runs it again.
COMMAND = """
import os, sys
from fastreid_projects.commands.table import run_tool
from fastreid_projects.mpn.providers import base

base.PROVIDERS["slow"] = "slow_provider:Slow"
os.cpu_count = lambda: 2
sys.exit(run_tool("make-part-priors"))
"""


@pytest.fixture
def images(tmp_path):
    """Sixty-four."""
    (tmp_path / "pids").mkdir()
    (tmp_path / "slow_provider.py").write_text(PROVIDER)
    (tmp_path / "command.py").write_text(COMMAND)
    (tmp_path / "data" / "train").mkdir(parents=True)
    found = [tmp_path / "data" / "train" / f"{i:02d}.png" for i in range(64)]
    for path in found:
        Image.new("RGB", (8, 16)).save(path)
    return found


@pytest.fixture
def start(images, tmp_path):
    """Starts the command in its own group, which is gone after the test."""
    started = []

    def run(**env):
        words = ["slow", "--images", str(images[0].parent)]
        started.append(
            subprocess.Popen(
                [sys.executable, str(tmp_path / "command.py"), *words, "--workers", "2"],
                env={**os.environ, "OMP_NUM_THREADS": "1", **env},
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        )
        return started[0]

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def said(process):
    """The lines on stderr, without the progress bar."""
    lines = process.communicate(timeout=900)[1].splitlines()
    return [line for line in lines if line and not line.startswith("slow: ")]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_a_signal_ends_all_processes(start, images, tmp_path, signum):
    process = start()
    wait_for(lambda: len(list((tmp_path / "pids").iterdir())) == 2, 600)
    wait_for(lambda: mask_path(images[0]).exists(), 600)
    if signum == signal.SIGINT:
        os.killpg(process.pid, signum)  # as a terminal does
    else:
        process.send_signal(signum)
    workers = [int(path.name) for path in (tmp_path / "pids").iterdir()]
    wait_for(lambda: not any(map(lives, workers)), 600)
    if signum == signal.SIGKILL:
        return
    assert said(process) == ["Interrupted"]
    assert process.returncode == 128 + signum
    assert not list(mask_path(images[0]).parent.glob(".*"))


def test_a_process_that_is_killed_is_one_sentence(start, images):
    process = start(DEADLY="1")
    (line,) = said(process)
    assert process.returncode == 2
    assert line.startswith("error: one of 2 processes was ended from outside")
    assert line.endswith("run again, with --workers 1 or less")
    assert mask_path(images[0]).exists()
    assert not mask_path(images[20]).exists()
