"""What a config builds on: ``_BASE_`` as a path or a list of paths, and the line of each key."""

import os
from pathlib import Path

import pytest

from fastreid_projects.config import load_config
from fastreid_projects.config.yaml_files import read_with_bases
from fastreid_projects.errors import ConfigError


@pytest.fixture
def write(tmp_path):
    def write(text, name="model.yml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


def refusal(path):
    with pytest.raises(ConfigError) as error:
        read_with_bases(path)
    return str(error.value)


def names(path):
    return [Path(file.path).stem for file in read_with_bases(path)]


def test_of_several_bases_a_later_one_wins_and_the_file_itself_over_all(write):
    write("SOLVER: {MAX_EPOCH: 1, BASE_LR: 0.1, IMS_PER_BATCH: 8}\n", "a.yml")
    write("SOLVER: {MAX_EPOCH: 2, BASE_LR: 0.2}\n", "b.yml")
    solver = load_config(write("_BASE_: [a.yml, b.yml]\nSOLVER: {MAX_EPOCH: 3}\n")).SOLVER
    assert (solver.MAX_EPOCH, solver.BASE_LR, solver.IMS_PER_BATCH) == (3, 0.2, 8)


def test_an_empty_list_is_no_base(write):
    assert names(write("_BASE_: []\nSEED: 1\n")) == ["model"]


def test_a_file_that_two_build_on_is_merged_once_below_both(write):
    """Merged again with the second, it would undo what the first says."""
    write("SOLVER: {MAX_EPOCH: 1}\nSEED: 1\n", "root.yml")
    write("_BASE_: root.yml\nSOLVER: {MAX_EPOCH: 2}\n", "left.yml")
    write("_BASE_: root.yml\nSEED: 3\n", "right.yml")
    path = write("_BASE_: [left.yml, ./right.yml]\nOUTPUT_DIR: logs/x\n")
    assert names(path) == ["root", "left", "right", "model"]
    cfg = load_config(path)
    assert (cfg.SOLVER.MAX_EPOCH, cfg.SEED) == (2, 3)


def test_a_base_behind_one_that_builds_on_it_is_refused(write):
    """It would win as the later one, and lose as the lower one."""
    write("SEED: 1\n", "root.yml")
    write("_BASE_: root.yml\n", "left.yml")
    assert "list it before" in refusal(write("_BASE_: [left.yml, root.yml]\n"))
    assert names(write("_BASE_: [root.yml, left.yml]\n")) == ["root", "left", "model"]


def test_a_base_that_is_listed_twice_is_refused(write):
    write("SEED: 1\n", "left.yml")
    assert "lists ./left.yml twice in '_BASE_'; remove one" in refusal(
        write("_BASE_: [left.yml, ./left.yml]\n")
    )


def test_stages_go_on_from_those_of_all_bases(write):
    write("STAGES:\n  - {NAME: first, SEED: 1}\n  - {NAME: second}\n", "a.yml")
    write("STAGES:\n  - {NAME: first, SOLVER: {MAX_EPOCH: 2}}\n", "b.yml")
    (stage,) = load_config(write("_BASE_: [a.yml, b.yml]\n")).STAGES
    assert stage == {"NAME": "first", "SEED": 1, "SOLVER": {"MAX_EPOCH": 2}}


def test_a_base_that_goes_round_in_circles(write):
    assert "circle" in refusal(write("_BASE_: model.yml\n"))
    write("_BASE_: [d.yml, c.yml]\n", "b.yml")
    write("_BASE_: a.yml\n", "c.yml")
    write("SEED: 1\n", "d.yml")
    sentence = refusal(write("_BASE_: b.yml\n", "a.yml"))
    assert sentence.endswith("a.yml is its own '_BASE_', through b.yml and c.yml; remove the circle")


def test_a_diamond_is_no_circle(write):
    write("SOLVER:\n  MAX_EPOCH: 7\n", "base.yml")
    write("_BASE_: base.yml\n", "middle.yml")
    assert load_config(write("_BASE_: ./middle.yml\n")).SOLVER.MAX_EPOCH == 7


def test_a_missing_file_of_a_list_names_who_asked(write):
    write("SEED: 1\n", "there.yml")
    path = write("_BASE_: [there.yml, nowhere.yml]\n")
    assert f"nowhere.yml, named as '_BASE_' by {os.path.realpath(path)}, does not exist" in refusal(path)


def test_a_base_may_lie_in_a_folder_above(write, tmp_path, monkeypatch):
    write("SEED: 7\n", "configs/shared/base.yml")
    path = write("_BASE_: shared/base.yml\n", "configs/own/model.yml")
    assert load_config(path).SEED == 7
    write("SEED: 8\n", "configs/own/shared/base.yml")
    assert load_config(path).SEED == 8, "the nearest one"
    monkeypatch.chdir(tmp_path)
    assert read_with_bases("configs/own/model.yml")[0].path == "configs/own/shared/base.yml"


def test_a_bare_name_means_the_configs_own_folder(write):
    write("SEED: 7\n", "base.yml")
    assert "does not exist" in refusal(write("_BASE_: base.yml\n", "own/model.yml"))


def test_a_base_is_not_looked_for_in_the_working_folder(write, tmp_path, monkeypatch):
    write("SEED: 7\n", "here/shared/base.yml")
    path = write("_BASE_: shared/base.yml\n", "own/model.yml")
    monkeypatch.chdir(tmp_path / "here")
    assert "does not exist" in refusal(path)


def test_a_path_in_a_base_is_relative_to_the_base(write, tmp_path, monkeypatch):
    """Also if the file that builds on it is elsewhere."""
    target = write("SEED: 1\n", "theirs/target.yml")
    write("MODEL: {AMD: {TARGET: {CONFIG: target.yml}}}\n", "theirs/base.yml")
    monkeypatch.chdir(tmp_path)
    found = load_config(write(f"_BASE_: {tmp_path}/theirs/base.yml\n", "own/model.yml"))
    assert os.path.samefile(found.MODEL.AMD.TARGET.CONFIG, target)


def test_each_key_has_its_line(write):
    text = """# a comment
SOLVER:
  BASE_LR: 1  # here

  MAX_EPOCH: 2
STAGES:
  - NAME: first
    MODEL: {DEVICE: cpu,
            WEIGHTS: x}
"""
    (file,) = read_with_bases(write(text))
    assert file.source("SOLVER.BASE_LR") == f"{file.path}:3"
    lines = ("SOLVER.MAX_EPOCH", "STAGES", "STAGES.0.NAME", "STAGES.0.MODEL.WEIGHTS")
    assert [file.lines[key] for key in lines] == [5, 6, 7, 9]


def test_a_value_from_an_anchor_has_the_line_of_the_anchor(write):
    text = "INPUT: &size\n  SIZE_TRAIN: [4, 2]\nTEST:\n  <<: *size\n  METRIC: cosine\n"
    (file,) = read_with_bases(write(text))
    assert file.values["TEST"] == {"SIZE_TRAIN": [4, 2], "METRIC": "cosine"}
    assert (file.lines["TEST.SIZE_TRAIN"], file.lines["TEST.METRIC"]) == (2, 5)
