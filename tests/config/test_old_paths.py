"""Paths of earlier versions lead to today's configs."""

import logging
import os
import shutil

import pytest

from fastreid_projects.config import load_config, old_paths
from fastreid_projects.config.old_paths import moved_config
from fastreid_projects.engine.same_config import differences
from fastreid_projects.errors import ConfigError
from tests.yaml_files import ALL, ROOT, config_file

TARGET = "MODEL.AMD.TARGET.CONFIG"
OLD = "projects/AMD/configs/amd_demo.yml"
OLD_TARGET = "projects/AMD/configs/amd_target_demo.yml"
NEW_TARGET = "projects/AMD/configs/demo/amd_target_r18_demo.yml"


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    old_paths._tell.cache_clear()


def test_an_old_path_leads_to_the_config_with_one_line_in_the_log(caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert load_config(OLD) == load_config(str(config_file("amd_r18_demo").relative_to(ROOT)))
    assert [record.message for record in caplog.records] == [
        f"{OLD} is now projects/AMD/configs/demo/amd_r18_demo.yml"
    ]


@pytest.mark.parametrize(
    "old, new",
    [
        ("configs/agw_r50_cuhk03.yml", "configs/cuhk03_labeled/agw_r50_cuhk03_labeled.yml"),
        ("configs/Base-SBS.yml", "configs/_blocks/sbs.yml"),
        ("projects/AIRNet/configs/airnet_r50_msmt17.yml", "msmt17/airnet_context_blocks_r50_msmt17.yml"),
        ("projects/AIRNet/configs/airnet_r50ibn_msmt17.yml", "msmt17/airnet_r50ibn_msmt17.yml"),
        ("projects/FIDI/configs/Base-MGN.yml", "projects/FIDI/configs/_blocks/fidi_mgn.yml"),
        ("configs/Base-MGN.yml", "configs/_blocks/mgn.yml"),
        ("projects/SAL/configs/Base-SAL-market1501.yml", "market1501/sal_r50_market1501.yml"),
        ("projects/MPN/configs/mpn_soft1_001_r50_market1501.yml", "mpn_soft_conv1_w0p01_r50_market1501.yml"),
        ("projects/MPN/configs/mpn_soft2_10_r50_market1501.yml", "mpn_soft_conv2_w10_r50_market1501.yml"),
        (
            "projects/SAL/configs/sal_quad_dil_sac_r18_demo.yml",
            "sal_quadruplet_dilated_constraint_r18_demo.yml",
        ),
    ],
)
def test_moved_and_renamed(old, new):
    assert moved_config(old).endswith(new)


def test_every_renamed_config_is_there():
    stems = [path.stem for path in ALL]
    for new in old_paths._NAMES.values():
        assert new.removeprefix("*") in stems
    for new in old_paths._METHODS.values():
        assert any(stem.startswith(f"{new}_") for stem in stems), new


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_todays_name_in_the_old_folder(path):
    folder = path.parent.parent
    assert moved_config(str(folder / path.name)) == str(path)


def test_what_was_never_there_is_not_found():
    assert moved_config("projects/AMD/configs/none_demo.yml") == ""
    assert moved_config("projects/AMD/amd_demo.yml") == ""
    with pytest.raises(ConfigError, match="none_demo"):
        load_config("projects/AMD/configs/none_demo.yml")


def test_a_base_of_ones_own_config(tmp_path):
    (tmp_path / "own.yml").write_text(f"_BASE_: {ROOT}/configs/Base-SBS.yml\nSEED: 5\n")
    cfg = load_config(str(tmp_path / "own.yml"))
    assert (cfg.SEED, cfg.SOLVER.DELAY_EPOCHS) == (5, 30)


def test_the_target_that_a_runs_config_names(tmp_path, monkeypatch):
    run = tmp_path / "config.yaml"
    run.write_text(f"MODEL: {{AMD: {{TARGET: {{CONFIG: {OLD_TARGET}}}}}}}\n")
    assert load_config(str(run)).MODEL.AMD.TARGET.CONFIG == NEW_TARGET
    assert load_config("", [TARGET, OLD_TARGET]).MODEL.AMD.TARGET.CONFIG == NEW_TARGET
    # beside a clone of the repository, as a run in it has it, from another folder
    logs = tmp_path / "clone" / "logs" / "demo"
    shutil.copytree(ROOT / "projects/AMD/configs", tmp_path / "clone/projects/AMD/configs")
    logs.mkdir(parents=True)
    shutil.copy(run, logs)
    monkeypatch.chdir(tmp_path)
    found = load_config(str(logs / "config.yaml")).MODEL.AMD.TARGET.CONFIG
    assert os.path.samefile(found, tmp_path / "clone" / NEW_TARGET)


def test_a_run_is_not_another_one_because_of_an_old_path():
    text = f"MODEL: {{AMD: {{TARGET: {{CONFIG: {OLD_TARGET}}}}}}}\n"
    cfg = load_config("", [TARGET, NEW_TARGET])
    assert differences(text, cfg) == []
    assert [d.key for d in differences(text, load_config("", [TARGET, OLD]))] == [TARGET]
