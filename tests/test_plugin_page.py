"""docs/plugins.md, word for word: its files, its config and its commands, on a tiny Market-1501."""

import functools
import hashlib
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

from fastreid_projects.config import load_config
from fastreid_projects.engine.main import main as train_net
from tests.amd.conftest import INTERPRETER
from tests.conftest import write_market
from tests.plugin_files import restored_registries

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "plugins.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.S | re.M)
FILE = re.compile(r"# (\w+\.(?:py|yml))\n")
TINY = [
    *("MODEL.DEVICE", "cpu", "INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]"),
    *("SOLVER.IMS_PER_BATCH", "8", "SOLVER.MAX_EPOCH", "1", "SOLVER.WARMUP_ITERS", "0", "SOLVER.STEPS", "[]"),
    *("DATALOADER.NUM_WORKERS", "0", "TEST.EVAL_PERIOD", "1", "SOLVER.CHECKPOINT_PERIOD", "1"),
]
MARKET = ["DATASETS.NAMES", "('Market1501',)", "DATASETS.TESTS", "('Market1501',)"]


def blocks(language):
    return [text for kind, text in BLOCK.findall(PAGE.read_text()) if kind == language]


def commands():
    """The words behind ``python tools/train_net.py`` of each training."""
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line)[2:] for line in lines if "train_net.py" in line]


def folder_of(words):
    """OUTPUT_DIR of a run; that of the page's own config where the command names none."""
    return words[words.index("OUTPUT_DIR") + 1] if "OUTPUT_DIR" in words else "logs/my_training"


def write_page(folder):
    """The page's files in a folder that finds this project's configs as a clone of it does."""
    for text in (*blocks("python"), *blocks("yaml")):
        name = FILE.match(text)
        assert name, text
        (folder / name[1]).write_text(text)
    (folder / "configs").symlink_to(ROOT / "configs")


def write_shop(market, shop):
    """The pictures of a Market-1501 under the names that the page's dataset reads."""
    for part, own in (("bounding_box_train", "train"), ("query", "query"), ("bounding_box_test", "gallery")):
        (shop / own).mkdir(parents=True)
        for number, path in enumerate(sorted((market / part).iterdir())):
            pid, camera = path.name.split("_")[:2]
            shutil.copy(path, shop / own / f"{int(pid)}_{camera[1]}_{number}.jpg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The working folder of all commands: a plug-in is known once in a process."""
    folder = tmp_path_factory.mktemp("page")
    write_page(folder)
    write_shop(write_market(folder / "datasets", ids=4, size=(32, 64)), folder / "datasets" / "shop")
    with restored_registries():
        yield folder


@pytest.fixture(autouse=True)
def _there(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FASTREID_DATASETS", str(folder / "datasets"))


@pytest.fixture(scope="module")
def trained(folder):
    """A factory: train by a command of the page, once; returns OUTPUT_DIR."""

    @functools.cache
    def train(number):
        words = commands()[number]
        data = [] if "DATASETS.NAMES" in words else MARKET
        assert train_net([*words, *data, *TINY]) == 0
        return folder / folder_of(words)

    return train


def tool(name, *words):
    """Run ``python tools/<name>.py`` in this process; returns its exit code."""
    path = str(ROOT / "tools" / f"{name}.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [path, *map(str, words)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(path, run_name="__main__")
    return end.value.code


NAMES = [Path(folder_of(words)).name for words in commands()]
each_training = pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)


def test_the_page_trains_every_kind():
    kinds = ["my_architecture", "my_backbone", "my_dataset", "my_head", "my_training"]
    assert sorted(NAMES) == kinds


@each_training
def test_a_training_uses_and_records_its_plug_ins(trained, folder, number):
    output = trained(number)
    record = json.loads((output / "run.json").read_text())
    config = yaml.safe_load((output / "config.yaml").read_text())
    assert [plugin["path"] for plugin in record["plugins"]] == config["PLUGINS"]
    for plugin in record["plugins"]:
        path = Path(plugin["path"])
        assert path.parent == folder
        assert plugin["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert plugin["name"] == path.stem
    assert record["metrics"]


def test_the_loss_is_trained_with_its_keys(trained):
    output = trained(NAMES.index("my_training"))
    lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    assert all("loss_compact" in line for line in lines if "total_loss" in line)
    assert yaml.safe_load((output / "config.yaml").read_text())["MODEL"]["LOSSES"]["COMPACT"] == {
        "SCALE": 0.2,
        "POWER": 2.0,
    }


@each_training
def test_a_trained_model_is_evaluated_and_exported_from_another_folder(
    trained, number, tmp_path, monkeypatch
):
    output = trained(number)
    monkeypatch.chdir(tmp_path)
    weights = ["MODEL.WEIGHTS", output / "model_final.pth", "OUTPUT_DIR", "out"]
    config = ["--config-file", str(output / "config.yaml")]
    assert train_net([*config, "--eval-only", *map(str, weights)]) == 0
    evaluated, own = (json.loads(Path(f, "run.json").read_text()) for f in ("out", output))
    assert evaluated["metrics"] == own["metrics"]
    assert evaluated["plugins"] == own["plugins"]
    assert tool("export", *config, *weights) == 0
    assert Path("out/model.onnx").is_file()


def test_an_architecture_has_grad_cam(trained, folder, tmp_path):
    output = trained(NAMES.index("my_architecture"))
    image = next((folder / "datasets" / "shop" / "query").iterdir())
    own = ["--config-file", output / "config.yaml", "MODEL.WEIGHTS", output / "model_final.pth"]
    assert tool("gradcam", "--images", image, "--output", tmp_path / "cam", *own) == 0
    assert tool("gradcam", "--branches", "--images", image, "--output", tmp_path / "branches", *own) == 0
    assert list((tmp_path / "cam").glob("*.png"))
    assert list((tmp_path / "branches").glob("*.html"))


@pytest.mark.slow
def test_an_architecture_is_explained_in_a_new_process(trained, folder, tmp_path):
    """Only the target's config names the plug-in."""
    target = trained(NAMES.index("my_architecture"))
    own = ["MODEL.AMD.TARGET.CONFIG", str(target / "config.yaml"), "MODEL.DEVICE", "cpu", *MARKET]
    own += ["MODEL.AMD.TARGET.WEIGHTS", str(target / "model_final.pth"), "OUTPUT_DIR", str(tmp_path)]
    own += ["INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]"]
    torch.save(
        {"model": META_ARCH_REGISTRY.get("AMD")(load_config(INTERPRETER, own)).state_dict()}, "amd.pth"
    )
    pair = sorted(str(path) for path in (folder / "datasets" / "shop" / "gallery").iterdir())[:2]
    words = ["--config-file", INTERPRETER, "--weights", "amd.pth", "--query", pair[0], "--gallery", pair[1]]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "explain.py"), *words, *own],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "explain" / "report.html").is_file()
