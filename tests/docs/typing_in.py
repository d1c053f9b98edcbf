"""Typing the blocks of a page, one after the other, in its own folder: small people, one epoch, the CPU."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastreid_projects.commands.table import run_command
from tests.docs.pages import ROOT, Block
from tests.plugin_files import restored_registries
from tests.shortened import shortened

_FILE = re.compile(r"# ([\w.]+\.(?:py|yml))\n")


class Reader:
    """Someone who follows a page.

    Args:
        folder: where the page is followed; it is the working folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {}

    def follow(self, block: Block, page: str) -> None:
        """Write the file that a block is, or run what it says."""
        file = _FILE.match(block.text)
        if file and block.language in ("python", "yaml"):
            (self.folder / file[1]).write_text(block.text)
        elif block.language == "python":
            exec(compile(block.text, page, "exec"), self.names)
        elif block.language == "sh":
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words:
                    self.type_in(words)

    def type_in(self, words: list[str]) -> None:
        """Run a command; a run is made short, and several processes are started by another process."""
        if words[:2] == ["python", "tools/train_net.py"]:
            words = ["fastreid-projects", "train", *words[2:]]
        assert words[0] == "fastreid-projects", words
        name, rest = words[1], words[2:]
        if name == "train" and "--show-config" not in rest:
            rest += shortened(rest[rest.index("--config-file") + 1])
        if "--num-gpus" in rest:
            command = [sys.executable, "-m", "fastreid_projects", name, *rest]
            done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=self.folder)
            assert done.returncode == 0, done.stderr
        else:
            assert run_command(name, rest, name) == 0, words


@contextmanager
def reading(folder: Path, drawn: Path, patch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """A reader in a folder like a checkout, with a copy of a few synthetic people as the whole demo set."""
    for name in ("configs", "projects", "tools"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(drawn, folder / "datasets")
    patch.setenv("FASTREID_DATASETS", str(folder / "datasets"))
    patch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    patch.chdir(folder)
    with restored_registries():
        yield Reader(folder)
