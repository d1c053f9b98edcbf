"""A bench for bad input: a tiny dataset, config and weights, and the tools called in this process."""

import contextlib
import io
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

import fastreid_projects  # noqa: F401
from fastreid_projects.commands.table import run_command
from fastreid_projects.data.attributes import MARKET1501
from tests.conftest import build_tiny_backbone, write_market

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {"train_net": "train"}  # tools whose command has another name
TINY = """
MODEL:
  DEVICE: cpu
  BACKBONE: {NAME: build_tiny_backbone, FEAT_DIM: 16, PRETRAIN: False}
  HEADS: {WITH_BNNECK: True}
  LOSSES: {NAME: [CrossEntropyLoss, TripletLoss]}
DATASETS: {NAMES: [Market1501], TESTS: [Market1501]}
INPUT: {SIZE_TRAIN: [32, 16], SIZE_TEST: [32, 16]}
DATALOADER: {NUM_WORKERS: 0, SAMPLER_TRAIN: NaiveIdentitySampler, NUM_INSTANCE: 4}
SOLVER: {AMP: {ENABLED: False}, IMS_PER_BATCH: 8, MAX_EPOCH: 1, WARMUP_ITERS: 0, CHECKPOINT_PERIOD: 1}
TEST: {EVAL_PERIOD: 1, IMS_PER_BATCH: 8}
SEED: 1
"""


class Outcome(NamedTuple):
    """How a command ended.

    Attributes:
        code: its exit code.
        last: the last line on stderr.
        text: all that it printed.
        output: the folder that it was to write to.
    """

    code: int
    last: str
    text: str
    output: Path


class Bench:
    """A folder with a dataset to break, and the commands that meet it.

    Attributes:
        folder: everything lies below it.
        market: the dataset's folder.
        config: a yaml that trains on it within a second.
        weights: a model of that config.
        output: OUTPUT_DIR.
    """

    def __init__(self, folder: Path, stock: Path) -> None:
        self.folder, self.output = folder, folder / "out"
        self.market = folder / "data" / "Market-1501-v15.09.15"
        shutil.copytree(stock / "data", folder / "data")
        self.config, self.weights = folder / "tiny.yml", folder / "tiny.pth"
        shutil.copy(stock / "tiny.yml", self.config)
        os.link(stock / "tiny.pth", self.weights)

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file below the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def yaml(self, text: str) -> Path:
        """The tiny config with more."""
        return self.write("more.yml", f"_BASE_: {self.config}\n{text}\n")

    def image(self, part: str = "bounding_box_train") -> Path:
        """The first image of a part of the dataset."""
        return min((self.market / part).glob("*.jpg"))

    def attributes(self, change: Callable[[dict[str, Any]], None] = lambda content: None) -> None:
        """Write the attribute file of the dataset, changed."""
        rng = np.random.default_rng(0)
        names = ("image_index", *MARKET1501.names)
        part = {name: rng.integers(1, 3, 6) for name in names}
        part["image_index"] = np.array([f"{pid:04d}" for pid in range(2, 8)], dtype=object)
        content = {"train": part, "test": dict(part)}
        change(content)
        savemat(self.market / MARKET1501.file_name, {MARKET1501.struct: content})

    def train(self, *argv: str | Path) -> Outcome:
        """``train_net.py`` with the tiny config, unless another is named."""
        named = "--config-file" in argv
        return self.tool("train_net", *(() if named else ("--config-file", self.config)), *argv)

    def evaluate(self, *argv: str | Path) -> Outcome:
        """``train_net.py --eval-only`` of the tiny model, unless other weights are named."""
        weights = () if "MODEL.WEIGHTS" in argv else ("MODEL.WEIGHTS", self.weights)
        return self.train("--eval-only", *argv, *weights)

    def tool(self, name: str, *argv: str | Path) -> Outcome:
        """A tool's main function; OUTPUT_DIR is the bench's where it is a config key of the tool."""
        words = [str(word) for word in argv]
        if name == "train_net" and "OUTPUT_DIR" not in words and len(words):
            words += ["OUTPUT_DIR", str(self.output)]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _call(name, words)
        lines = err.getvalue().strip().splitlines()
        return Outcome(code, lines[-1] if lines else "", out.getvalue() + err.getvalue(), self.output)


def _call(name: str, words: Sequence[str]) -> int:
    try:
        return run_command(COMMANDS.get(name, name.replace("_", "-")), words, f"{name}.py")
    except SystemExit as exit_:  # argparse
        return exit_.code if isinstance(exit_.code, int) else 1


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unbroken files, made once."""
    from fastreid.modeling.backbones import BACKBONE_REGISTRY

    from fastreid_projects.config import load_config
    from fastreid_projects.engine.trainer import Trainer

    if build_tiny_backbone.__name__ not in BACKBONE_REGISTRY._obj_map:
        BACKBONE_REGISTRY.register(build_tiny_backbone)
    folder = tmp_path_factory.mktemp("stock")
    market = write_market(folder / "data")
    for path in market.glob("*/*.jpg"):
        mask = np.zeros((32, 16), np.uint8)
        mask[2:8], mask[8:18], mask[18:30] = 1, 2, 4
        target = market / "part_masks" / path.parent.name / f"{path.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(target)
    (folder / "tiny.yml").write_text(TINY)
    torch.manual_seed(0)
    model = Trainer.build_model(load_config(str(folder / "tiny.yml"), ["MODEL.HEADS.NUM_CLASSES", "4"]))
    torch.save({"model": model.state_dict()}, folder / "tiny.pth")
    return folder


@pytest.fixture
def bench(stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A separate bench, in whose folder the commands run."""
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    _forget_handlers()
    yield Bench(tmp_path, stock)
    _forget_handlers()


def _forget_handlers() -> None:
    """Take the host's handlers away: they hold the streams of the test that made them, which are closed after it."""
    from fastreid.utils.logger import setup_logger

    logger = logging.getLogger("fastreid")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    setup_logger.cache_clear()


@pytest.fixture
def refused() -> Callable[..., None]:
    """A check: the command ended with one sentence that holds all words, and left nothing that looks finished."""

    def check(outcome: Outcome, *words: str) -> None:
        print(f"\nLAST[{outcome.code}]: {outcome.last}")
        assert outcome.code not in (0, None), outcome.text[-600:]
        assert "Traceback" not in outcome.text
        assert "internal error" not in outcome.last, outcome.last
        assert "error: " in outcome.last, outcome.text[-600:]
        for word in words:
            assert word in outcome.last
        for name in ("model_final.pth", "run.json", "report", "explain", "model.onnx"):
            assert not list(outcome.output.rglob(name)), name

    return check


@pytest.fixture
def worked() -> Callable[[Outcome], None]:
    """A check: the command did its work."""

    def check(outcome: Outcome) -> None:
        assert outcome.code == 0, outcome.text[-600:]

    return check
