"""Reading a config: what the host's loader gives, and one sentence for whatever is wrong in it."""

from pathlib import Path

import pytest

from fastreid_projects.errors import ConfigError

pytest.importorskip("fastreid")
from fastreid_projects import plugins
from fastreid_projects.config import all_keys, load_config
from fastreid_projects.host.config.config import _host_merge_from_file

ROOT = Path(__file__).resolve().parents[2]
BASELINES = [ROOT / "configs" / "_blocks" / f"{name}.yml" for name in ("bagtricks", "agw", "sbs", "mgn")]


@pytest.fixture
def write(tmp_path):
    def write(text, name="model.yml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def value(cfg, key):
    for name in key.split("."):
        cfg = cfg[name]
    return cfg


def refusal(config_file="", opts=()):
    """The one sentence of the error."""
    with pytest.raises(ConfigError) as error:
        load_config(config_file, opts)
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


# What is right


def test_without_arguments_it_is_the_defaults():
    assert load_config() == plugins.get_cfg()
    assert not load_config().is_frozen()


@pytest.mark.parametrize("path", BASELINES, ids=lambda path: path.stem)
def test_merges_like_the_hosts_own_loader(path):
    """Where each file builds on one other, which is all that it can read."""
    expected = plugins.get_cfg()
    _host_merge_from_file(expected, str(path))
    assert load_config(str(path)).dump() == expected.dump()


def test_command_line_values_are_read_like_the_hosts():
    opts = ["MODEL.BACKBONE.DEPTH", "34x", "INPUT.SIZE_TRAIN", "[128, 64]", "SOLVER.BASE_LR", "1e-4"]
    opts += ["MODEL.LOSSES.NAME", "('TripletLoss',)", "MODEL.DEVICE", "cpu", "SOLVER.MAX_EPOCH", "3"]
    opts += ["INPUT.FLIP.ENABLED", "True", "OUTPUT_DIR", "logs/a b", "DATASETS.TESTS", '("A", "B")']
    expected = plugins.get_cfg()
    expected.merge_from_list(list(opts))
    assert load_config("", opts).dump() == expected.dump()


def test_base_files_are_merged_from_the_bottom(write):
    write("MODEL:\n  DEVICE: cpu\n  BACKBONE:\n    DEPTH: 18x\nSOLVER:\n  MAX_EPOCH: 7\n", "lower/base.yml")
    write("_BASE_: lower/base.yml\nMODEL:\n  BACKBONE:\n    DEPTH: 34x\n", "middle.yml")
    cfg = load_config(write("_BASE_: middle.yml\nSOLVER:\n  IMS_PER_BATCH: 8\n"), ["SOLVER.MAX_EPOCH", "9"])
    assert (cfg.MODEL.DEVICE, cfg.MODEL.BACKBONE.DEPTH) == ("cpu", "34x")
    assert (cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_EPOCH) == (8, 9)


def test_a_base_may_be_absolute_or_in_the_home_folder(write, tmp_path, monkeypatch):
    base = write("SOLVER:\n  MAX_EPOCH: 7\n", "base.yml")
    assert load_config(write(f"_BASE_: {base}\n")).SOLVER.MAX_EPOCH == 7
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_config(write("_BASE_: ~/base.yml\n")).SOLVER.MAX_EPOCH == 7


@pytest.mark.parametrize("text", ["1", "1.0", "1e0", "'1'"])
def test_an_integer_and_a_text_number_do_for_a_float_key(write, text):
    """yacs refuses 1, and yaml reads 1e0 as text."""
    for cfg in (
        load_config(write(f"SOLVER:\n  BASE_LR: {text}\n")),
        load_config("", ["SOLVER.BASE_LR", text]),
    ):
        assert cfg.SOLVER.BASE_LR == 1.0
        assert isinstance(cfg.SOLVER.BASE_LR, float)


def test_yaml_reads_1e_minus_4_as_text_and_it_is_a_number_all_the_same(write):
    assert load_config(write("SOLVER:\n  BASE_LR: 1e-4\n")).SOLVER.BASE_LR == 1e-4
    assert load_config("", ["SOLVER.BASE_LR", "1e-4"]).SOLVER.BASE_LR == 1e-4


@pytest.mark.parametrize(
    "name", ["2024", "1e3", "1_000", "007", "0x10", "None", "True", "run 3", "[a]", "a,b"]
)
def test_a_text_key_takes_the_command_lines_letters_as_they_are(name):
    """A folder called 1e3 is not the folder 1000.0."""
    cfg = load_config("", ["OUTPUT_DIR", name])
    assert name == cfg.OUTPUT_DIR


def test_quotes_around_a_text_are_taken_off_as_in_the_host():
    assert load_config("", ["OUTPUT_DIR", "'logs/x'"]).OUTPUT_DIR == "logs/x"


def test_lists_keep_the_type_of_their_default(write):
    """A yaml has no tuples; the host compares names with 'in' and joins tuples."""
    cfg = load_config(write('DATASETS:\n  NAMES: [A, B]\n  TESTS: ("C",)\nINPUT:\n  SIZE_TRAIN: [4, 2]\n'))
    default = plugins.get_cfg()
    for key, expected in (
        ("DATASETS.NAMES", ["A", "B"]),
        ("DATASETS.TESTS", ["C"]),
        ("INPUT.SIZE_TRAIN", [4, 2]),
    ):
        assert list(value(cfg, key)) == expected
        assert type(value(cfg, key)) is type(value(default, key))


@pytest.mark.parametrize("opts", [[], ["INPUT.CROP.SCALE", "[0.2, 1]"]])
def test_a_config_that_is_written_reads_back_as_it_was(write, opts):
    """The default [0.16, 1] stays so, and the digest of a model is that of its run's config.yaml."""
    cfg = load_config("", opts)
    assert load_config(write(cfg.dump())).INPUT.dump() == cfg.INPUT.dump()


def test_paths_in_a_yaml_may_be_relative_to_it(write, tmp_path, monkeypatch):
    key = "MODEL.AMD.TARGET.CONFIG"
    assert key in plugins.path_keys()
    target = write("SOLVER:\n  MAX_EPOCH: 7\n", "sub/target.yml")
    config = write("MODEL:\n  AMD:\n    TARGET:\n      CONFIG: target.yml\n", "sub/amd.yml")
    assert Path(value(load_config(config), key)).samefile(target)
    monkeypatch.chdir(tmp_path / "sub")
    assert Path(value(load_config("amd.yml"), key)).samefile(target)
    above = write("MODEL:\n  AMD:\n    TARGET:\n      CONFIG: sub/target.yml\n", "sub/deeper/amd.yml")
    assert Path(value(load_config(above), key)).samefile(target)
    missing = write("MODEL:\n  AMD:\n    TARGET:\n      CONFIG: none.yml\n", "sub/other.yml")
    assert value(load_config(missing), key) == "none.yml"


@pytest.mark.parametrize(
    "name",
    ["AMD/configs/market1501/amd_r50_market1501.yml", "MPN/configs/demo/mpn_prior_uniform_r18_demo.yml"],
)
def test_configs_of_a_first_model_are_found_from_any_folder(name, tmp_path, monkeypatch):
    config = Path("projects", name).resolve()
    monkeypatch.chdir(tmp_path)
    cfg = load_config(str(config))
    for key in plugins.path_keys():
        assert not value(cfg, key) or Path(value(cfg, key)).is_file()


def test_one_config_never_leaks_into_the_next(write):
    load_config(write("MODEL:\n  LOSSES:\n    TRI:\n      MARGIN: 0.9\n"), ["SOLVER.STEPS", "[1, 2]"])
    assert load_config() == plugins.get_cfg()


def test_all_keys_are_dotted_leaves():
    keys = all_keys(load_config())
    assert "MODEL.LOSSES.TRI.MARGIN" in keys
    assert "MODEL.AMD.TARGET.CONFIG" in keys
    assert "MODEL" not in keys
    assert len(keys) == len(set(keys))


# What is wrong


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("SOLVER.BASE_LRR", "SOLVER.BASE_LR"),
        ("SOLVER.MAXEPOCH", "SOLVER.MAX_EPOCH"),
        ("MODEL.AMD.TARGET.CONFG", "MODEL.AMD.TARGET.CONFIG"),
        ("MODEL.LOSSES.TRIP.MARGIN", "MODEL.LOSSES.TRI.MARGIN"),
    ],
)
def test_a_wrong_key_is_an_error_with_the_nearest_one(write, key, near):
    assert f"there is no config key {key}; did you mean {near}?" in refusal("", [key, "1"])
    *parents, name = key.split(".")
    text = "".join(f"{'  ' * i}{parent}:\n" for i, parent in enumerate(parents))
    path = write(f"{text}{'  ' * len(parents)}{name}: 1\n")
    sentence = refusal(path)
    assert f"there is no config key {key}; did you mean {near}?" in sentence
    assert path in sentence


def test_a_key_like_no_other_gets_no_suggestion():
    assert "did you mean" not in refusal("", ["XYZZY", "1"])


@pytest.mark.parametrize("key", ["MODEL.DEVICE.NAME", "MODEL.DEVICE.", ".MODEL", "", "model.device"])
def test_keys_that_lead_nowhere(key):
    assert "there is no config key" in refusal("", [key, "1"])


@pytest.mark.parametrize(
    ("key", "text", "kind"),
    [
        ("SOLVER.MAX_EPOCH", "many", "int"),
        ("SOLVER.MAX_EPOCH", "2.5", "int"),
        ("SOLVER.MAX_EPOCH", "True", "int"),
        ("INPUT.FLIP.ENABLED", "1", "bool"),
        ("INPUT.FLIP.ENABLED", "yes please", "bool"),
        ("SOLVER.BASE_LR", "False", "float"),
        ("INPUT.SIZE_TRAIN", "64", "list"),
    ],
)
def test_a_value_of_the_wrong_type_is_an_error_with_key_type_and_value(write, key, text, kind):
    sentence = refusal("", [key, text])
    assert sentence.startswith(f"{key} has to be of type {kind} like its default")
    assert text in sentence
    *parents, name = key.split(".")
    lines = "".join(f"{'  ' * i}{parent}:\n" for i, parent in enumerate(parents))
    path = write(f"{lines}{'  ' * len(parents)}{name}: {text}\n")
    assert refusal(path).startswith(f"{path}: {key} has to be")


def test_a_text_that_is_no_number_for_a_float_key(write):
    assert refusal("", ["SOLVER.BASE_LR", "fast"]) == "SOLVER.BASE_LR has to be a number, but it is 'fast'"
    assert "SOLVER.BASE_LR has to be a number" in refusal(write("SOLVER:\n  BASE_LR: 1e-4x\n"))


def test_a_group_is_no_single_value(write):
    assert "MODEL.LOSSES.TRI is a group of keys" in refusal("", ["MODEL.LOSSES.TRI", "0.3"])
    assert "SOLVER is a group of keys" in refusal(write("SOLVER: 3\n"))
    assert "SOLVER is a group of keys" in refusal(write("SOLVER:\nMODEL:\n  DEVICE: cpu\n"))


@pytest.mark.parametrize("text", ["128x64", "128 x 64", "128*64", "128 64"])
def test_a_size_as_it_is_spoken(write, text):
    assert refusal("", ["INPUT.SIZE_TRAIN", text]).endswith('write "[128, 64]"')
    assert refusal(write(f"INPUT: {{SIZE_TRAIN: {text}}}\n")).endswith("write [128, 64]")


def test_a_name_alone_for_a_key_with_several():
    assert refusal("", ["DATASETS.NAMES", "DemoReID"]).endswith("""write "('DemoReID',)\"""")


@pytest.mark.parametrize(
    ("words", "one"),
    [
        ("INPUT.SIZE_TRAIN 128 64 MODEL.DEVICE cpu", 'INPUT.SIZE_TRAIN "[128, 64]"'),
        ("INPUT.SIZE_TRAIN [128, 64] MODEL.DEVICE cpu", 'INPUT.SIZE_TRAIN "[128, 64]"'),
        ("MODEL.DEVICE cpu SOLVER.STEPS 10 20 30", 'SOLVER.STEPS "[10, 20, 30]"'),
        ("INPUT.REA.VALUE 0.5 1e-3 -.5", 'INPUT.REA.VALUE "[0.5, 1e-3, -.5]"'),
    ],
)
def test_a_value_of_several_words(words, one):
    assert refusal("", words.split()).endswith(f"write one: {one}")


def test_overrides_that_are_no_pairs():
    assert "'SOLVER.BASE_LR' stands alone" in refusal("", ["MODEL.DEVICE", "cpu", "SOLVER.BASE_LR"])


def test_files_that_cannot_be_read(write, tmp_path):
    missing = str(tmp_path / "none.yml")
    assert refusal(missing) == f"the config {missing} does not exist"
    for text, words in (
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- MODEL\n- SOLVER\n", "not a mapping"),
        ("only words\n", "not a mapping"),
        ("MODEL: [1, 2\nSOLVER: }", "not valid YAML"),
        ("MODEL:\n\tDEVICE: cpu\n", "not valid YAML"),
        ("MODEL: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
    ):
        path = write(text)
        sentence = refusal(path)
        assert words in sentence
        assert path in sentence
    picture = tmp_path / "picture.yml"
    picture.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00")
    assert "picture.yml" in refusal(str(picture))


def test_bases_that_cannot_be_read(write):
    path = write("_BASE_: none.yml\nMODEL:\n  DEVICE: cpu\n")
    sentence = refusal(path)
    assert "none.yml" in sentence
    assert "_BASE_" in sentence
    assert path in sentence
    assert "_BASE_" in refusal(write("_BASE_: [model.yml, 3]\n"))
    assert "empty" in refusal(write("_BASE_: empty.yml\n") if write("", "empty.yml") else "")


def test_a_group_in_the_base_and_a_value_above_it(write):
    """The host stops with 'Cannot inherit key'; here the key is named as for any other file."""
    write("SOLVER:\n  MAX_EPOCH: 7\n", "base.yml")
    assert "SOLVER is a group" in refusal(write("_BASE_: base.yml\nSOLVER: 3\n"))
