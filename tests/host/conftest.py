"""What the host does without this package, found out once in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastreid.utils.events import EventStorage

import fastreid_projects  # noqa: F401


def _run(code: str, *args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **env, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *args, "-c", code],
        capture_output=True,
        text=True,
        env=variables,
        cwd=cwd,
        timeout=120,
    )


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a new Python; more arguments are the interpreter's, keywords are environment variables."""
    return _run


@pytest.fixture(scope="session")
def unmended(tmp_path_factory: pytest.TempPathFactory, market_writer: Callable[..., Path]) -> dict[str, Any]:
    """The results of unmended.py: how each defect shows in the host as it is."""
    folder = tmp_path_factory.mktemp("unmended")
    market_writer(folder / "run2_c3")
    script = Path(__file__).with_name("unmended.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": ""},
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def storage() -> Iterator[EventStorage]:
    """An open event storage, which the host's losses and steps write to."""
    with EventStorage() as opened:
        opened.epoch = 0
        yield opened
