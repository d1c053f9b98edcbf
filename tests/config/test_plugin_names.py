"""PLUGINS in configs and on the command line: where files are found, what adds up, what a run keeps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fastreid_projects import plugins
from fastreid_projects.config import load_config
from fastreid_projects.engine.main import main
from fastreid_projects.engine.same_config import differences
from fastreid_projects.engine.stages import build_stages
from fastreid_projects.errors import ConfigError
from tests.plugin_files import restored_registries, write_loss

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _restored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with restored_registries():
        yield


@pytest.fixture
def write(tmp_path):
    def write(text, name="own.yml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


def refusal(*args):
    with pytest.raises(ConfigError) as error:
        load_config(*args)
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


# Where files are found


def test_a_file_is_found_from_the_working_folder_the_yaml_and_above(write, tmp_path, monkeypatch):
    path = str(write_loss(tmp_path / "sub" / "loss.py"))
    monkeypatch.chdir(tmp_path / "sub")
    assert [path] == load_config("", ["PLUGINS", "['loss.py']"]).PLUGINS
    monkeypatch.chdir("/")
    assert [path] == load_config(write("PLUGINS: [loss.py]\n", "sub/a.yml")).PLUGINS
    assert [path] == load_config(write("PLUGINS: [sub/loss.py]\n", "deep/er/b.yml")).PLUGINS
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [path] == load_config("", ["PLUGINS", "['~/sub/loss.py']"]).PLUGINS


def test_a_module_is_named_with_dots(write, tmp_path, monkeypatch):
    write_loss(tmp_path / "dotted_pkg" / "losses.py")
    monkeypatch.syspath_prepend(tmp_path)
    cfg = load_config(write("PLUGINS: [dotted_pkg.losses]\nMODEL: {LOSSES: {PLUGIN: {MARGIN: 2}}}\n"))
    assert cfg.PLUGINS == ["dotted_pkg.losses"]
    assert cfg.MODEL.LOSSES.PLUGIN.MARGIN == 2.0


# What adds up


def test_a_yaml_its_base_and_the_command_line_add_up(write, tmp_path):
    files = [
        str(write_loss(tmp_path / folder / f"{name}.py", name=f"{name.title()}Loss", node=name.upper()))
        for folder, name in (("lower", "base"), ("", "own"), ("", "line"))
    ]
    write("PLUGINS: [base.py]\nMODEL: {LOSSES: {BASE: {MARGIN: 1.0}}}\n", "lower/base.yml")
    config = write("_BASE_: lower/base.yml\nPLUGINS: [own.py]\nMODEL: {LOSSES: {OWN: {MARGIN: 2.0}}}\n")
    opts = ["MODEL.LOSSES.LINE.MARGIN", "3.0", "PLUGINS", "['line.py']"]
    cfg = load_config(config, opts)
    assert files == cfg.PLUGINS
    assert [cfg.MODEL.LOSSES[node].MARGIN for node in ("BASE", "OWN", "LINE")] == [1.0, 2.0, 3.0]
    assert [plugin.path for plugin in plugins.used_plugins(cfg)] == files
    assert load_config().PLUGINS == [], "one config's plug-ins are not the next one's"
    assert "LINE" not in load_config().MODEL.LOSSES


def test_naming_one_twice_is_naming_it_once(write, tmp_path):
    path = str(write_loss(tmp_path / "loss.py"))
    config = write(f"PLUGINS: [loss.py, {path}]\nMODEL: {{LOSSES: {{PLUGIN: {{MARGIN: 2.0}}}}}}\n")
    cfg = load_config(config, ["PLUGINS", "['./loss.py']"])
    assert [path] == cfg.PLUGINS
    plugins.add_plugin(cfg, "loss.py")
    assert cfg.MODEL.LOSSES.PLUGIN.MARGIN == 2.0


def test_a_file_that_was_moved_is_named_anew_on_the_command_line(write, tmp_path):
    gone, here = tmp_path / "gone" / "loss.py", str(write_loss(tmp_path / "here" / "loss.py"))
    config = write(f"PLUGINS: [{gone}]\nMODEL: {{LOSSES: {{PLUGIN: {{MARGIN: 2.0}}}}}}\n")
    assert refusal(config) == (
        f"{config}: PLUGINS names {gone}, which does not exist; put the file there, or say on the command line where "
        "it is: PLUGINS \"['path/to/loss.py']\""
    )
    cfg = load_config(config, ["PLUGINS", "['here/loss.py']"])
    assert [here] == cfg.PLUGINS
    assert cfg.MODEL.LOSSES.PLUGIN.MARGIN == 2.0
    write_loss(tmp_path / "other" / "another.py", name="OtherLoss", node="OTHER")
    assert "gone/loss.py, which does not exist" in refusal(config, ["PLUGINS", "['other/another.py']"])


# What is refused


@pytest.mark.parametrize(
    "value, words",
    [
        (
            "loss.py",
            "PLUGINS has to be of type list like its default [], but it is 'loss.py'; write ",
        ),
        ("[3]", "PLUGINS holds 3; name a module or the path of a Python file"),
        ("['']", "PLUGINS holds ''"),
        ("[nowhere.py]", "PLUGINS names nowhere.py, which does not exist"),
        ("[no_module]", "PLUGINS: there is no module no_module"),
    ],
)
def test_a_value_that_is_none_is_refused_with_its_file(write, value, words):
    config = write(f"PLUGINS: {value}\n")
    assert refusal(config).startswith(f"{config}: {words}")
    text = value if value == "loss.py" else repr(yaml.safe_load(value))
    assert refusal("", ["PLUGINS", text]).startswith(words)


def test_a_plug_in_changes_no_key_of_others(write, tmp_path):
    for name, line in (
        ("rate", "cfg.SOLVER.BASE_LR = 7.0"),
        ("group", "cfg.MODEL.LOSSES.CE = type(cfg)()"),
        ("gone", "del cfg.MODEL['LOSSES']"),
    ):
        (tmp_path / f"{name}.py").write_text(f"def add_config(cfg):\n    {line}\n")
    assert "rate.py changes SOLVER.BASE_LR in its add_config, a key that it has not added" in refusal(
        write("PLUGINS: [rate.py]\n")
    )
    assert "changes MODEL.LOSSES.CE.EPSILON" in refusal("", ["PLUGINS", "['group.py']"])
    assert "changes MODEL.LOSSES in" in refusal("", ["PLUGINS", "['gone.py']"])


def test_a_mistake_in_add_config_is_named_with_its_line(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("def add_config(cfg):\n    cfg.MODEL.NO_NODE.X = 1\n")
    assert (
        refusal("", ["PLUGINS", "['own.py']"]) == f"PLUGINS: {path} fails in line 2: AttributeError: NO_NODE"
    )


def test_the_plug_in_of_another_key_is_refused_as_ever(write, tmp_path):
    write_loss(tmp_path / "loss.py")
    assert "there is no config key MODEL.LOSSES.PLUGIN.SIZE" in refusal(
        write("PLUGINS: [loss.py]\nMODEL: {LOSSES: {PLUGIN: {SIZE: 1}}}\n")
    )


def test_show_config_gives_keys_of_plug_ins_their_sources(write, tmp_path, capsys):
    path = str(write_loss(tmp_path / "loss.py"))
    write_loss(tmp_path / "first.py", name="FirstLoss", node="FIRST")
    stage = write("PLUGINS: [first.py]\nMODEL: {LOSSES: {FIRST: {MARGIN: 2.0}}}\n", "first.yml")
    config = write(
        "PLUGINS: [loss.py]\nMODEL: {LOSSES: {PLUGIN: {MARGIN: 2.0}}}\n"
        "STAGES: [{NAME: a, CONFIG: first.yml}, {NAME: b}]"
    )
    assert main(["--config-file", config, "--show-config"]) == 0
    own, first = capsys.readouterr().out.split("# Stage a trains")
    lines = [" ".join(line.split()) for line in own.splitlines()]
    assert f"MARGIN: 2.0 # {config}:2; default 0.5" in lines
    assert f"PLUGINS: [{path}] # {config}:1; default []" in lines
    assert yaml.safe_load(own)["PLUGINS"] == [path]
    assert f"{Path(stage).name}:2; default 0.5" in first


# Runs


@pytest.fixture
def tiny(tiny_market, tmp_path, monkeypatch):
    """Options of a tiny training with the plug-in's loss, into tmp_path/run."""
    tiny_market(ids=4, test_ids=2, size=(32, 64))
    write_loss(tmp_path / "loss.py")
    return [
        *(
            "PLUGINS",
            "['loss.py']",
            "MODEL.LOSSES.NAME",
            "('PluginLoss',)",
            "MODEL.LOSSES.PLUGIN.MARGIN",
            "0.7",
        ),
        *("MODEL.DEVICE", "cpu", "INPUT.SIZE_TRAIN", "[32, 32]", "INPUT.SIZE_TEST", "[32, 32]"),
        *(
            "SOLVER.IMS_PER_BATCH",
            "8",
            "SOLVER.MAX_EPOCH",
            "1",
            "SOLVER.WARMUP_ITERS",
            "0",
            "SOLVER.STEPS",
            "[]",
        ),
        *("DATASETS.NAMES", "('Market1501',)", "DATASETS.TESTS", "('Market1501',)"),
        *("DATALOADER.NUM_WORKERS", "0", "TEST.EVAL_PERIOD", "1", "SOLVER.CHECKPOINT_PERIOD", "1"),
        *("OUTPUT_DIR", str(tmp_path / "run")),
    ]


CONFIG = str(ROOT / "configs" / "demo" / "bagtricks_r18_demo.yml")


def records(*folders):
    return [json.loads((folder / "run.json").read_text()) for folder in folders]


def test_a_run_is_resumed_from_its_config_in_another_folder(tiny, tmp_path, monkeypatch):
    assert main(["--config-file", CONFIG, *tiny]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert (
        main(["--config-file", str(tmp_path / "run" / "config.yaml"), "--resume", "SOLVER.MAX_EPOCH", "2"])
        == 0
    )
    (record,) = records(tmp_path / "run")
    assert [plugin["path"] for plugin in record["plugins"]] == [str(tmp_path / "loss.py")]
    config = yaml.safe_load(record["config"])
    assert config["PLUGINS"] == [str(tmp_path / "loss.py")]
    assert config["MODEL"]["LOSSES"]["PLUGIN"]["MARGIN"] == 0.7


def test_several_seeds(tiny, tmp_path):
    assert main(["--config-file", CONFIG, "--seeds", "1", "2", *tiny]) == 0
    for record in records(tmp_path / "run" / "seed_1", tmp_path / "run" / "seed_2"):
        assert len(record["plugins"]) == 1


def test_stages_share_the_plug_ins_and_take_none_of_their_own(write, tmp_path):
    write_loss(tmp_path / "loss.py")
    write_loss(tmp_path / "first.py", name="FirstLoss", node="FIRST")
    write("PLUGINS: [first.py]\nMODEL: {LOSSES: {NAME: [FirstLoss]}}\n", "first.yml")
    text = (
        "PLUGINS: [loss.py]\nSTAGES:\n  - {NAME: one, CONFIG: first.yml, MODEL: {LOSSES: {PLUGIN: {MARGIN: 3.0}}}}\n"
        "  - {NAME: two, MODEL: {LOSSES: {PLUGIN: {MARGIN: 4.0}}}}\n"
    )
    one, two = build_stages(load_config(write(text)))
    assert [str(tmp_path / "first.py"), str(tmp_path / "loss.py")] == one.cfg.PLUGINS
    assert [str(tmp_path / "loss.py")] == two.cfg.PLUGINS
    assert [stage.cfg.MODEL.LOSSES.PLUGIN.MARGIN for stage in (one, two)] == [3.0, 4.0]
    with pytest.raises(ConfigError, match="STAGES two: PLUGINS belongs to the whole run"):
        build_stages(load_config(write(text.replace("NAME: two,", "NAME: two, PLUGINS: [],"), "wrong.yml")))


def test_where_a_plug_in_lies_does_not_make_another_training(tmp_path):
    write_loss(tmp_path / "loss.py")
    cfg = load_config("", ["PLUGINS", "['loss.py']"])
    text = cfg.dump().replace(str(tmp_path), "/before")
    assert "/before/loss.py" in text
    assert differences(text, cfg) == []


@pytest.mark.slow
def test_two_processes_of_torchrun(tiny, tmp_path):
    """As a user starts it."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*words, str(ROOT / "tools" / "train_net.py"), "--config-file", CONFIG, *tiny],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    (record,) = records(tmp_path / "run")
    assert record["processes"] == 2
    assert len(record["plugins"]) == 1


def test_a_mistake_in_a_plug_in_is_one_line_of_the_command(tmp_path, capsys):
    (tmp_path / "own.py").write_text("\n1 / 0\n")
    assert main(["PLUGINS", "['own.py']"]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        last == f"error: PLUGINS: {tmp_path / 'own.py'} fails in line 2: ZeroDivisionError: division by zero"
    )
