"""AMD on own attributes: check, train target and interpreter, evaluate, explain; the choice of attributes."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from fastreid_projects.amd.data.choice import COPY, resolve_attribute_set, save_attribute_words
from fastreid_projects.amd.explain.pairs import NO_ATTRIBUTES
from fastreid_projects.amd.explain.sources import read_source
from fastreid_projects.commands.table import run_command
from fastreid_projects.data.attributes import MARKET1501
from fastreid_projects.data.own.words import read_words
from fastreid_projects.engine.main import main
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError, DataError, WeightsError
from tests.amd.conftest import INTERPRETER
from tests.amd.data.test_attribute_dataset import write_mat
from tests.layouts import draw

WORDS = """\
attributes:
  hat: {phrase: hat}
  top:
    phrase: top
    values: [red, blue, green]
    level: image
    group: clothes
"""
PEOPLE = {
    "train": ("anna", "bert", "carl", "dora"),
    "query": ("emil", "fred"),
    "gallery": ("emil", "fred", "gina"),
}
TOPS = ("red", "blue", "green", "?")
KEY = "MODEL.AMD.ATTRIBUTES"
NAMES = ("hat", "top_red", "top_blue", "top_green")
SMALL = [
    *("MODEL.DEVICE", "cpu", "INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]"),
    *("DATALOADER.NUM_WORKERS", "0", "SOLVER.IMS_PER_BATCH", "8", "SOLVER.MAX_EPOCH", "1"),
    *("SOLVER.WARMUP_ITERS", "0", "SOLVER.DELAY_EPOCHS", "0", "TEST.EVAL_PERIOD", "1"),
    *("MODEL.AMD.TEST.DELETION_PAIRS", "2", "MODEL.AMD.REPORT.PAIRS", "3"),
    *("STAGES.target.SOLVER.MAX_EPOCH", "1", "STAGES.target.SOLVER.DELAY_EPOCHS", "0"),
    *("STAGES.target.SOLVER.WARMUP_ITERS", "0", "STAGES.target.TEST.EVAL_PERIOD", "1"),
    *("STAGES.target.SOLVER.IMS_PER_BATCH", "8"),
]


def write_folder(folder, words=WORDS):
    """Four persons to train on, two and a distractor to test; every other hat is unknown."""
    rows, number = ["path,pid,camid,split,hat,top"], 0
    for split, people in PEOPLE.items():
        for person, name in enumerate(people):
            for camera in (2,) if split == "gallery" else (1,) if split == "query" else (1, 2):
                for _ in range(2):
                    number += 1
                    draw(folder / f"{number}.png", person, number)
                    hat = ("yes", "no")[person % 2] if number % 2 else ""
                    rows.append(f"{number}.png,{name},{camera},{split},{hat},{TOPS[number % 4]}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    if words is not None:
        (folder / "attributes.yaml").write_text(words)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What a user pastes: check, then target and interpreter on one's own folder; gives the run's folder."""
    root = tmp_path_factory.mktemp("own")
    patch = pytest.MonkeyPatch()
    patch.setenv("FASTREID_DATASETS", str(root / "data"))
    (root / "data").mkdir()
    folder = write_folder(root / "data" / "FolderReID")
    assert run_command("check-data", [str(folder)], "check_data.py") == 0
    own = ["DATASETS.NAMES", "('FolderReID',)", "DATASETS.TESTS", "('FolderReID',)"]
    assert main(["--config-file", INTERPRETER, *own, *SMALL, "OUTPUT_DIR", str(root / "run")]) == 0
    yield root / "run"
    patch.undo()


def explain(*words):
    return run_command("explain", list(map(str, words)), "explain.py")


def pairs(folder):
    return json.loads((folder / "report.json").read_text())["pairs"]


def test_an_interpreter_is_trained_evaluated_and_reported(run):
    weights = torch.load(run / "model_final.pth", weights_only=True)["model"]
    assert len(weights["head.decompose.weight"]) == 4
    metrics = json.loads((run / "run.json").read_text())["metrics"]
    for name in ("mAP", "ADRE", "X-mAP_e", "X-mAP_c", "random_X-mAP_e"):
        assert metrics[name] == metrics[name] > 0, name
    assert (run / COPY).read_text() == WORDS
    report = json.loads((run / "report" / "report.json").read_text())
    contributions = [c for pair in report for c in pair["contributions"]]
    assert {(c["name"], c["group"]) for c in contributions} == {
        ("hat", ""),
        *((n, "clothes") for n in NAMES[1:]),
    }
    assert {c["exclusive"] for c in contributions} >= {None, True}


def test_the_run_is_explained_with_the_words(run, tmp_path):
    config = ["--config-file", run / "config.yaml", "--output", tmp_path / "explained"]
    assert explain(*config, "--top-k", "3", "--queries", "2") == 0
    found = [c for pair in pairs(tmp_path / "explained") for c in pair["contributions"]]
    phrases = {c["phrase"] for c in found}
    assert phrases & {
        "red top: only the query has it",
        "red top: only the gallery has it",
        "red top: neither has it",
    }
    assert explain(*config, "--average-maps", "--top-k", "1", "--queries", "1") == 0


def test_a_run_is_explained_where_the_data_are_not(run, tmp_path, monkeypatch):
    """By the words beside the weights; nobody has noted anything of these photographs."""
    a, b = sorted((run.parent / "data" / "FolderReID").glob("*.png"))[:2]
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "nowhere"))
    assert explain("--config-file", moved / "config.yaml", "--query", a, "--gallery", b) == 0
    (pair,) = pairs(moved / "explain")
    assert {c["name"] for c in pair["contributions"]} == set(NAMES)
    assert all(c["exclusive"] is None for c in pair["contributions"])


def test_the_target_is_explained_without_attributes(run, tmp_path):
    """By its dataset, and by the folder itself: both know persons and cameras."""
    (run.parent / "data" / "FolderReID" / "attributes.yaml").rename(tmp_path / "kept.yaml")
    try:
        for number, source in enumerate(("FolderReID", run.parent / "data" / "FolderReID")):
            folder = tmp_path / str(number)
            config = ["--config-file", run / "target" / "config.yaml", "--output", folder]
            assert explain(*config, "--query", source, "--top-k", "2", "--queries", "1") == 0
            found = pairs(folder)
            assert len(found) == 2
            assert all(not pair["contributions"] for pair in found)
            assert all(pair["same_identity"] is not None for pair in found)
            assert (folder / "pairs" / "001" / "distance.npy").is_file()
    finally:
        (tmp_path / "kept.yaml").rename(run.parent / "data" / "FolderReID" / "attributes.yaml")


def test_statistics_of_own_attributes(run, tmp_path, monkeypatch, capsys):
    words = ["--dataset", "FolderReID", "--output", str(tmp_path / "counted")]
    assert run_command("attribute-statistics", words, "attribute_statistics.py") == 0
    lines = (tmp_path / "counted.csv").read_text().splitlines()
    assert lines[1].startswith("hat,hat,no hat,training,2,2,")


# Which attributes


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    return tmp_path


@pytest.fixture
def own_config(amd_config):
    small = ["DATASETS.NAMES", "('FolderReID',)", "DATALOADER.NUM_WORKERS", "0", "SOLVER.IMS_PER_BATCH", "8"]
    return lambda *opts: amd_config(*small, *opts)


def test_a_folder_without_attributes_leads_to_the_page(root, own_config):
    write_folder(root / "FolderReID", words=None)
    with pytest.raises(ConfigError) as caught:
        resolve_attribute_set(own_config())
    for words in (
        "DATASETS.NAMES begins with FolderReID",
        "attributes.yaml",
        "labels.csv",
        "docs/own_attributes.md",
    ):
        assert words in str(caught.value)
    for name in ("FolderReID", "nothing.yaml"):
        with pytest.raises(
            ConfigError, match=r"known are market1501, dukemtmc, demo, and the path of your own attr"
        ):
            resolve_attribute_set(own_config(KEY, name))
    with pytest.raises(ConfigError, match=r"MODEL\.AMD\.ATTRIBUTES name your own attributes\.yaml"):
        resolve_attribute_set(own_config("DATASETS.NAMES", "('MSMT17',)"))
    assert (Path(__file__).parents[2] / "docs" / "own_attributes.md").is_file()


def test_own_attributes_of_another_datasets_identities(tiny_market, tmp_path, own_config):
    market_folder = tiny_market(ids=4, test_ids=2)
    mine = tmp_path / "mine" / "attributes.yaml"
    mine.parent.mkdir()
    mine.write_text(WORDS + "people: Market1501\n")
    rows = ["pid,hat,top", "2,yes,red", "3,no,blue", "4,?,green", "5,,", "6,yes,red"]
    (mine.parent / "attributes.csv").write_text("\n".join(rows))
    market = ["DATASETS.NAMES", "('Market1501',)"]
    cfg = own_config(*market, KEY, str(mine))
    assert resolve_attribute_set(cfg).names == NAMES
    batch = Trainer.build_train_loader(cfg).dataset.attributes
    assert {tuple(row) for row in batch.tolist()} == {
        (1, 1, 0, 0),
        (0, 0, 1, 0),
        (-1, 0, 0, 1),
        (-1, -1, -1, -1),
    }
    tests, queries = Trainer.build_test_loader(cfg, "Market1501")
    assert tests.dataset.attributes[:queries].tolist() == [[1, 1, 0, 0], [-1] * 4]
    table = (mine.parent / "attributes.csv").read_text()
    (mine.parent / "attributes.csv").write_text("pid,hat,top\n6,yes,red\n")
    with pytest.raises(
        DataError, match=r"no attribute of .* is known for any training image of Market1501; fill in its"
    ):
        Trainer.build_train_loader(cfg)
    (mine.parent / "attributes.csv").write_text(table)
    says = r"says nothing of the identities of Market1501: write 'people: Market1501' into it"
    mine.write_text(WORDS)
    with pytest.raises(DataError, match=rf"mine/attributes\.yaml {says}"):
        Trainer.build_train_loader(cfg)
    mine.write_text(WORDS + "people: DukeMTMC\n")
    with pytest.raises(DataError, match=rf"is of the people of DukeMTMC, and {says}"):
        Trainer.build_train_loader(cfg)
    write_mat(market_folder / "market_attribute.mat", MARKET1501, [1, 2, 1, 2], [2, 3, 4, 5])
    with pytest.raises(DataError, match=says):  # hat is in both, by chance
        Trainer.build_train_loader(cfg)


def test_columns_that_nobody_has_filled(root, own_config):
    folder = write_folder(root / "FolderReID")
    table = (folder / "labels.csv").read_text()
    (folder / "labels.csv").write_text(table.replace("yes", "").replace("no,", ","))
    with pytest.raises(
        DataError, match=r"hat of .*attributes\.yaml is not known for any training image; fill in the column"
    ):
        Trainer.build_train_loader(own_config())
    rows = [",".join(line.split(",")[:4]) + ",," for line in table.splitlines()[1:]]
    (folder / "labels.csv").write_text("\n".join(["path,pid,camid,split,hat,top", *rows]))
    with pytest.raises(
        DataError, match=r"no attribute of .* is known for any training image of FolderReID; fill"
    ):
        Trainer.build_train_loader(own_config())


def test_the_words_beside_the_weights_are_those_of_the_interpreter(root, own_config):
    """A file that has changed since may say other words, but not name other attributes."""
    folder = write_folder(root / "FolderReID")
    (root / "run").mkdir()
    cfg = own_config("OUTPUT_DIR", str(root / "run"))
    save_attribute_words(cfg, resolve_attribute_set(cfg))
    trained = ["MODEL.WEIGHTS", str(root / "run" / "model_final.pth")]
    (folder / "attributes.yaml").write_text(WORDS.replace("phrase: hat", "phrase: cap"))
    named = [KEY, str(folder / "attributes.yaml")]
    assert resolve_attribute_set(own_config(*trained)).attributes[0].topic == "hat"
    assert resolve_attribute_set(own_config(*trained, *named)).attributes[0].topic == "cap"
    (folder / "attributes.yaml").write_text(WORDS.replace("[red, blue", "[blue, red"))
    assert resolve_attribute_set(own_config(*trained)).names == NAMES
    with pytest.raises(
        WeightsError, match=r"are hat, top_blue, top_red, top_green, but the weights beside .*"
    ):
        resolve_attribute_set(own_config(*trained, *named))
    assert resolve_attribute_set(own_config(*named)).names[1] == "top_blue"
    save_attribute_words(cfg, MARKET1501)
    assert not (root / "run" / COPY).exists()


def test_labels_that_cannot_be_used_are_said_and_left_out(root, host_log):
    folder = write_folder(root / "FolderReID")
    words = read_words(folder / "attributes.yaml")
    assert {photo.attributes[0] for photo in read_source("FolderReID", "gallery", words)} == {0, 1}
    table = folder / "labels.csv"
    table.write_text(table.read_text().replace(",yes,", ",perhaps,"))
    assert {photo.attributes for photo in read_source(str(folder), "query", words)} == {(-1,) * 4}
    assert "'perhaps' is none of no, yes" in host_log.text
    assert {photo.attributes for photo in read_source(str(folder), "query", NO_ATTRIBUTES)} == {()}
