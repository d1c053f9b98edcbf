"""The code on trained models in docs/features.md and the README, unchanged, on a small run and small pictures."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from fastreid_projects.commands.table import run_command

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"```(python|sh)\n(.*?)```", re.S)
PAGE = FENCE.findall((ROOT / "docs" / "features.md").read_text())
README = (ROOT / "README.md").read_text()
SECTION = re.search(r"## A trained model on your own photographs\n(.*?)\n## ", README, re.S)[1]
FEW_PAIRS = {
    "--rate 0.001": "--rate 0.05",
    "--rate 0.01": "--rate 0.05",
    "rate=1e-3": "rate=0.05",
}  # of the few pictures here


@pytest.fixture
def scene(run_folder, tiny_market, album, tmp_path, monkeypatch):
    """A folder with ``logs/bot``, photographs, a gallery and a folder of own pictures below FASTREID_DATASETS."""
    tiny_market(test_ids=12)
    shutil.copytree(run_folder("DATASETS.TESTS", ("Market1501",)), tmp_path / "logs" / "bot")
    shutil.copytree(album, tmp_path / "gallery")
    shutil.copytree(album, tmp_path / "data" / "shop")
    for number, name in enumerate(("a", "b", "anna", "bert", "new", "old")):
        shutil.copy(f"{album}/p{number:02d}/c1_0.png", tmp_path / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)


def say(text):
    for long, short in FEW_PAIRS.items():
        text = text.replace(long, short)
    return text


def type_in(line, monkeypatch):
    words = [word.replace("$FASTREID_DATASETS", "data") for word in shlex.split(say(line))]
    assert words[0] == "fastreid-projects"
    assert run_command(words[1], words[2:], words[1]) == 0, line


def test_the_page(scene, monkeypatch):
    """From its first block to its last, each on what those before have left."""
    assert len(PAGE) >= 8
    names = {}
    for language, block in PAGE:
        if language == "python":
            exec(compile(say(block), "features.md", "exec"), names)
        else:
            for line in block.strip().splitlines():
                type_in(line, monkeypatch)
    for file in ("shop.npy", "threshold_det.png", "logs/found/search.html", "logs/bot/ranks/search.json"):
        assert Path(file).is_file()
    assert Path("logs/why/report.html").is_file()
    assert list(Path("logs/alike").glob("*.png"))


def test_the_readme(scene, monkeypatch):
    names = {}
    (block,) = [block for language, block in FENCE.findall(SECTION) if language == "python"]
    assert len([line for line in block.splitlines() if line]) <= 5
    exec(compile(block, "README.md", "exec"), names)
    assert (len(names["features"]), len(names["hits"])) == (2, 5)
    shutil.copytree("gallery", "people")
    for line in re.findall(r"`(fastreid-projects (?:search|threshold|explain)[^`]*)`", SECTION):
        type_in(line, monkeypatch)
