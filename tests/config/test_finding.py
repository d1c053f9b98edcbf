"""Unknown names: the message suggests similar ones."""

import os
import re

import pytest

from fastreid_projects.config.finding import find_base, find_config
from fastreid_projects.errors import ConfigError
from tests.yaml_files import ROOT


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def refusal(path):
    with pytest.raises(ConfigError) as error:
        find_config(path)
    return str(error.value)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("projects/AMD/configs/demo/amd_r18_dmo.yml", "projects/AMD/configs/demo/amd_r18_demo.yml"),
        ("configs/demo/agw_r18_demo", "configs/demo/agw_r18_demo.yml"),
        ("configs/demo/agw_r18_demo.yaml", "configs/demo/agw_r18_demo.yml"),
        ("config/demo/agw_r18_demo.yml", "configs/demo/agw_r18_demo.yml"),
        ("configs/agw_r50_market.yml", "configs/market1501/agw_r50_market1501.yml"),
    ],
)
def test_a_misspelt_path_gets_the_nearest_one(wrong, right):
    assert f"the config {wrong} does not exist; did you mean {right}" in refusal(wrong)


def test_a_misspelt_name_gets_names_that_work_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sentence = refusal("mpn_r18_dmo.yml")
    assert sentence.startswith("the config mpn_r18_dmo.yml does not exist; did you mean ")
    names = re.findall(r"projects/MPN/configs/demo/\w+\.yml", sentence)
    assert "projects/MPN/configs/demo/mpn_r18_demo.yml" in names
    assert str(ROOT) not in sentence
    assert all(find_config(name) == str(ROOT / name) for name in names)


def test_a_right_name_in_the_wrong_place_is_the_only_answer():
    wrong = "projects/SAL/configs/demo/mpn_r18_demo.yml"
    assert refusal(wrong).endswith("did you mean projects/MPN/configs/demo/mpn_r18_demo.yml?")


@pytest.mark.parametrize(
    "name", ["mpn_r18_demo.yml", "mpn_r18_demo", "projects/MPN/configs/demo/mpn_r18_demo.yml"]
)
def test_a_config_of_the_project_is_found_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == str(ROOT / "projects/MPN/configs/demo/mpn_r18_demo.yml")
    (tmp_path / "mpn_r18_demo.yml").write_text("SEED: 1\n")
    assert find_config("mpn_r18_demo.yml") == "mpn_r18_demo.yml", "one's own comes first"


@pytest.mark.parametrize("base", ["mpn_r18_demo.yml", "projects/MPN/configs/demo/mpn_r18_demo.yml"])
@pytest.mark.parametrize("folder", ["", "mine", "/absolute"])
def test_a_config_of_ones_own_builds_on_one_of_the_project_from_any_folder(
    base, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder = str(tmp_path / "absolute") if folder.startswith("/") else folder
    (tmp_path / folder).mkdir(exist_ok=True)
    assert find_config(find_base(base, folder)) == str(ROOT / "projects/MPN/configs/demo/mpn_r18_demo.yml")
    own = tmp_path / folder / base
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("SEED: 1\n")
    assert os.path.samefile(find_base(base, folder), own), "one's own comes first"


def test_a_name_in_capitals_gets_the_nearest_one():
    assert "projects/MPN/configs/demo/mpn_r18_demo.yml" in refusal("MPN_R18_DEMO")


def test_a_name_that_several_have_is_refused(tmp_path, monkeypatch):
    for folder in ("configs/a", "configs/b"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "same.yml").touch()
    monkeypatch.setattr("fastreid_projects.shipped.root", lambda: tmp_path)
    assert (
        refusal("same.yml")
        == "several configs are called same.yml: name one of configs/a/same.yml, configs/b/same.yml"
    )


def test_an_earlier_name_alone_leads_to_todays():
    assert find_config("amd_demo.yml").endswith("projects/AMD/configs/demo/amd_r18_demo.yml")


def test_files_of_ones_own_are_near_too(tmp_path, monkeypatch):
    (tmp_path / "mine.yml").write_text("SEED: 1\n")
    monkeypatch.chdir(tmp_path)
    assert refusal("mein.yml").endswith("did you mean mine.yml?")
    path = str(tmp_path / "xyzzy.yml")
    assert refusal(path) == f"the config {path} does not exist"


def test_what_is_shared_is_never_proposed():
    assert refusal("configs/_blocks/bagtrick.yml").endswith("does not exist")


def test_a_folder_of_configs():
    sentence = refusal("configs/demo")
    assert sentence.startswith(
        "the config configs/demo is a folder; name a YAML file in it, such as configs/demo/agw_r18_demo.yml, "
    )
    assert refusal("projects/AMD/configs").count(".yml") == 3


def test_a_folder_of_a_run(tmp_path):
    (tmp_path / "config.yaml").write_text("SEED: 1\n")
    assert refusal(str(tmp_path)).endswith(f"name the config of its run, {tmp_path / 'config.yaml'}")


def test_a_folder_without_configs(tmp_path):
    assert refusal(str(tmp_path)) == f"the config {tmp_path} is a folder; name a YAML file"
