"""``--show-config``: the merged config, with the source of each value; it is a config itself."""

import pytest
import yaml

from fastreid_projects.config import load_config
from fastreid_projects.engine.main import main
from tests.yaml_files import ROOT, RUNNABLE, config_file


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def show(capsys):
    def show(path, *words):
        assert main(["--config-file", str(path), *words]) == 0
        return capsys.readouterr().out

    return show


def line_of(text, start):
    (line,) = [line.strip() for line in text.splitlines() if line.strip().startswith(start)]
    return " ".join(line.split())


@pytest.fixture
def own(tmp_path):
    (tmp_path / "base.yml").write_text(
        "SOLVER:\n  MAX_EPOCH: 7\n  BASE_LR: 0.1\nINPUT: {SIZE_TRAIN: [4, 2]}\n"
    )
    path = tmp_path / "own.yml"
    path.write_text("_BASE_: base.yml\nMODEL:\n  DEVICE: cpu\nSOLVER:\n  MAX_EPOCH: 8\n")
    return path


def test_each_value_is_followed_by_its_source_and_its_default(show, own):
    text = show(own, "--show-config", "SOLVER.STEPS", "[3]")
    folder = own.parent
    assert line_of(text, "DEVICE") == f"DEVICE: cpu # {own}:3; default cuda"
    assert line_of(text, "MAX_EPOCH") == f"MAX_EPOCH: 8 # {own}:5; default 120"
    assert line_of(text, "BASE_LR") == f"BASE_LR: 0.1 # {folder}/base.yml:3; default 0.0003"
    assert line_of(text, "SIZE_TRAIN") == f"SIZE_TRAIN: [4, 2] # {folder}/base.yml:4; default [256, 128]"
    assert line_of(text, "STEPS") == "STEPS: [3] # command line; default [30, 55]"
    assert text.splitlines()[0].startswith(f"# {own}: 5 of ")


def test_only_what_differs_is_shown_and_what_the_command_line_says(show, own):
    text = show(own, "--show-config", "SOLVER.GAMMA", "0.1")
    assert set(yaml.safe_load(text)) == {"MODEL", "INPUT", "SOLVER"}
    assert line_of(text, "GAMMA") == "GAMMA: 0.1 # command line"


def test_all_keys(show, own):
    text = show(own, "--show-config", "all")
    assert line_of(text, "META_ARCHITECTURE") == "META_ARCHITECTURE: Baseline # default"
    assert yaml.safe_load(text) == yaml.safe_load(load_config(str(own)).dump())


@pytest.mark.parametrize("path", [p for p in RUNNABLE if p.parent.name == "demo"], ids=lambda p: p.stem)
@pytest.mark.parametrize("kind", ["changed", "all"])
def test_what_is_shown_is_a_config_with_the_same_values(show, path, kind, tmp_path):
    saved = tmp_path / "saved.yml"
    saved.write_text(show(path.relative_to(ROOT), "--show-config", kind))
    assert load_config(str(saved)) == load_config(str(path.relative_to(ROOT)))


def test_stages_have_their_sources(show):
    path = config_file("sal_r18_demo").relative_to(ROOT)
    text = show(path, "--show-config", "STAGES.softmax.SOLVER.MAX_EPOCH", "9")
    stage = text[text.index("- NAME: softmax") :]
    assert line_of(stage, "MAX_EPOCH") == "MAX_EPOCH: 9 # command line"
    assert "/_blocks/sal.yml:" in line_of(stage, "NAME: (")
    assert "# Stage" not in text


def test_a_stage_of_another_config_follows_as_a_comment(show):
    path = config_file("amd_r18_demo").relative_to(ROOT)
    text = show(path, "--show-config", "DATASETS.NAMES", "('DemoReIDB',)", "STAGES.target.SEED", "4")
    stage = text[text.index("# Stage ") :].replace("\n# ", "\n")
    assert stage.startswith("# Stage target trains projects/AMD/configs/demo/amd_target_r18_demo.yml: ")
    assert line_of(stage, "NAMES") == "NAMES: [DemoReIDB] # the run's; default [Market1501]"
    assert line_of(stage, "SEED") == "SEED: 4 # STAGES target; default -1"
    assert "configs/_blocks/" in line_of(stage, "CLS_LAYER")
    # with its weights given, the target is not trained
    assert "# Stage" not in show(path, "--show-config", "MODEL.AMD.TARGET.WEIGHTS", "x.pth")


def test_without_a_config_there_is_nothing_to_show(capsys):
    assert main(["--show-config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) is None


def test_a_mistake_is_one_sentence(capsys):
    assert main(["--show-config", "SOLVER.BASE_LRR", "1"]) == 2
    assert "did you mean SOLVER.BASE_LR?" in capsys.readouterr().err


def test_no_data_is_opened(show, monkeypatch):
    from fastreid.data.datasets import DATASET_REGISTRY

    monkeypatch.setattr(type(DATASET_REGISTRY), "get", lambda *_: pytest.fail("a dataset was opened"))
    assert "Market1501" in show(config_file("agw_r50_market1501"), "--show-config", "all")
