"""Clean files of weights: under the model's names, whole, in both formats, and loaded again."""

import importlib.util

import pytest
import torch

from fastreid_projects.checkpoints.weights import load_state_dict_file
from fastreid_projects.commands.table import run_command
from fastreid_projects.errors import WeightsError
from fastreid_projects.extractor import Extractor

has_safetensors = importlib.util.find_spec("safetensors") is not None
SUFFIXES = [
    ".pth",
    pytest.param(".safetensors", marks=pytest.mark.skipif(not has_safetensors, reason="needs safetensors")),
]


@pytest.fixture
def convert(run_folder, capsys):
    folder = run_folder()

    def call(weights, output):
        words = ["--config-file", f"{folder}/config.yaml", "--weights", str(weights), "--output", str(output)]
        code = run_command("convert", words, "convert")
        return code, capsys.readouterr()

    call.weights = f"{folder}/model_final.pth"
    call.folder = folder
    return call


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_a_training_keeps_is_left_out(convert, tmp_path, suffix):
    state = torch.load(convert.weights)["model"]
    full = tmp_path / "full.pth"
    torch.save({"model": state, "optimizer": {"state": {}}, "epoch": 3}, full)
    clean = tmp_path / f"clean{suffix}"
    code, said = convert(full, clean)
    assert code == 0, said.err
    assert f"{len(state)} entries kept; 0 missing, 0 left out" in said.out
    found = load_state_dict_file(str(clean))
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)
    picture = torch.randint(0, 256, (3, 40, 20), dtype=torch.uint8)
    first, second = (Extractor.from_config(convert.folder, str(path))(picture) for path in (full, clean))
    assert (first == second).all()


def test_names_of_other_projects_are_renamed_and_the_rest_is_named(convert, tmp_path):
    state = torch.load(convert.weights)["model"]
    bot = {
        name.replace("backbone.", "base.").replace("heads.bottleneck.0.", "bottleneck."): value
        for name, value in state.items()
        if name != "heads.weight"
    }
    other = tmp_path / "bot.pth"
    torch.save({"state_dict": {**bot, "classifier.weight": torch.zeros(99, 16)}}, other)
    code, said = convert(other, tmp_path / "clean.pth")
    assert code == 0, said.err
    assert "renamed from those of BoT or TransReID" in said.out
    assert load_state_dict_file(str(tmp_path / "clean.pth"))["heads.weight"].shape == (99, 16)
    torch.save({**state, "teacher.weight": torch.zeros(2)}, other)
    assert "| teacher.weight | not part of this model" in convert(other, tmp_path / "clean.pth")[1].out


def test_mistakes_are_sentences(convert, tmp_path):
    assert "has to end in .pth" in convert(convert.weights, tmp_path / "x.bin")[1].err
    torch.save({"a": torch.zeros(2)}, tmp_path / "foreign.pth")
    assert "belongs to another model" in convert(tmp_path / "foreign.pth", tmp_path / "x.pth")[1].err
    assert not (tmp_path / "x.pth").exists()


@pytest.mark.skipif(not has_safetensors, reason="needs safetensors")
def test_a_broken_safetensors_is_a_sentence(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="not written by safetensors"):
        load_state_dict_file(str(tmp_path / "x.safetensors"))
