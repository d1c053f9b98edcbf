"""Exported files equal their model, for every architecture; what does not is refused and leaves no file."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from fastreid.modeling.meta_arch import build_model

from fastreid_projects import export as exporting
from fastreid_projects.commands.table import run_command
from fastreid_projects.config import load_config
from fastreid_projects.errors import ConfigError, DataError, ExportError, WeightsError
from tests.architectures import small_configs

ROOT = Path(__file__).resolve().parents[1]
SIZE = ["INPUT.SIZE_TEST", "[64, 32]", "INPUT.SIZE_TRAIN", "[64, 32]"]
MGN_SIZE = ["INPUT.SIZE_TEST", "[96, 32]", "INPUT.SIZE_TRAIN", "[96, 32]"]
ARCHITECTURES = {
    "BoT": ("configs/demo/bagtricks_r18_demo.yml", SIZE),
    "SBS with GeM": ("configs/demo/sbs_r18_demo.yml", SIZE),
    "AGW with non-local blocks": ("configs/market1501/agw_r50_market1501.yml", SIZE),
    "MGN": ("configs/demo/mgn_r50_demo.yml", MGN_SIZE),
    "AIR-Net with context blocks": ("projects/AIRNet/configs/demo/airnet_context_blocks_r18_demo.yml", SIZE),
    "AIR-Net with IBN": (
        "projects/AIRNet/configs/demo/airnet_two_branches_max_maxcontext_r18_demo.yml",
        [*SIZE, "MODEL.BACKBONE.WITH_IBN", "True"],
    ),
    "ShuffleNetV2": (
        "configs/demo/bagtricks_r18_demo.yml",
        [
            *(*SIZE, "MODEL.BACKBONE.NAME", "build_shufflenetv2_backbone"),
            *("MODEL.BACKBONE.DEPTH", "1.0x", "MODEL.BACKBONE.FEAT_DIM", "1024"),
        ],
    ),
    "MPN": ("projects/MPN/configs/demo/mpn_r18_demo.yml", ["INPUT.SIZE_TEST", "[128, 64]"]),
}


LISTED = ("Baseline-EmbeddingHead", "MGN", "MPN", "AIRNet")
OTHERS = {name: (path, []) for name, path in small_configs().items() if not name.startswith(LISTED)}
ALL = {**ARCHITECTURES, **OTHERS}


def settle(model):
    """Statistics and weights as after some training, so that nothing is an identity."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
        if isinstance(module, torch.nn.LayerNorm):
            module.weight.data.uniform_(0.5, 1.5)
    return model


def make_config(path, opts):
    return load_config(str(ROOT / path), ["MODEL.DEVICE", "cpu", "MODEL.BACKBONE.PRETRAIN", "False", *opts])


@pytest.fixture
def save(tmp_path):
    """A factory: the config of an architecture with saved random weights."""

    def make(path, opts):
        cfg = make_config(path, [*opts, "MODEL.HEADS.NUM_CLASSES", "4"])
        torch.manual_seed(0)
        weights = tmp_path / "weights.pth"
        torch.save({"model": settle(build_model(cfg)).state_dict()}, weights)
        cfg.MODEL.WEIGHTS = str(weights)
        return cfg

    return make


def check(cfg, path):
    """The files of an export against the model itself."""
    description = exporting.export(cfg.clone(), path)
    assert json.loads(path.with_suffix(".json").read_text()) == json.loads(json.dumps(description))
    errors = description["comparison"]["largest_error"]
    assert len(errors) == 3
    assert all(error < 1e-4 for error in errors.values())
    height, width = cfg.INPUT.SIZE_TEST
    images = torch.rand(7, 3, height, width) * 255  # a batch size that the export did not try
    cfg.MODEL.BACKBONE.PRETRAIN = False
    model = exporting.load_trained(cfg).eval()
    with torch.no_grad():
        expected = model(images).numpy()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    features = session.run(None, {"images": images.numpy()})[0]
    assert np.abs(features - expected).max() < 1e-4 * max(1.0, np.abs(expected).max())
    assert description["output"]["shape"] == ["batch", *features.shape[1:]]
    assert description["input"]["shape"] == ["batch", 3, height, width]
    return description


@pytest.mark.parametrize("name", ALL)
def test_every_architecture(save, tmp_path, name):
    description = check(save(*ALL[name]), tmp_path / "model.onnx")
    assert description["input"]["channel_order"] == "RGB"
    assert description["input"]["value_range"] == [0, 255]
    assert description["input"]["normalisation"] == "inside"
    classifies = description["architecture"] == "SALClassifier"
    assert description["output"]["kind"] == ("logits" if classifies else "features")
    assert ("metric" in description["output"]) != classifies


def test_a_head_that_classifies_gives_logits(save, tmp_path):
    path, opts = ARCHITECTURES["BoT"]
    output = check(save(path, [*opts, "MODEL.HEADS.NAME", "ClasHead"]), tmp_path / "m.onnx")["output"]
    assert (output["kind"], output["shape"]) == ("logits", ["batch", 4])
    assert "metric" not in output


def test_an_interpreter(tmp_path):
    """AMD gives the target's feature and one of each attribute."""
    from tests.amd.conftest import INTERPRETER, save_target

    config, weights = save_target(tmp_path / "target", *SIZE)
    own = ["MODEL.AMD.TARGET.CONFIG", config, "MODEL.AMD.TARGET.WEIGHTS", weights, *SIZE]
    cfg = load_config(INTERPRETER, ["MODEL.DEVICE", "cpu", *own])
    torch.save({"model": settle(build_model(cfg)).state_dict()}, tmp_path / "amd.pth")
    cfg.MODEL.WEIGHTS = str(tmp_path / "amd.pth")
    output = check(cfg, tmp_path / "amd.onnx")["output"]
    assert len(output["axis_1"]) == output["shape"][1]
    assert output["axis_1"][0] == "target"


def test_the_command(save, tmp_path, monkeypatch, capsys):
    cfg = save(*ARCHITECTURES["BoT"])
    (tmp_path / "config.yaml").write_text(cfg.dump())
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["export.py", "--config-file", "config.yaml", *words])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "tools" / "export.py"), run_name="__main__")
        return end.value.code, capsys.readouterr()

    code, printed = run("OUTPUT_DIR", "out", "--output", "deep/bot.onnx")
    assert code == 0
    assert "deep/bot.onnx: " in printed.out
    onnx.checker.check_model(str(tmp_path / "deep" / "bot.onnx"))
    assert json.loads((tmp_path / "deep" / "bot.json").read_text())["weights"] == cfg.MODEL.WEIGHTS

    code, printed = run("MODEL.WEIGHTS", "nowhere.pth", "OUTPUT_DIR", "out")
    assert code == 2
    assert printed.err.strip().splitlines()[-1].startswith("error: MODEL.WEIGHTS 'nowhere.pth' is not a file")
    assert not (tmp_path / "out").exists()


def test_a_runs_folder_keeps_the_file(save, tmp_path, capsys):
    cfg = save(*ARCHITECTURES["BoT"])
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(cfg.dump())
    (tmp_path / "weights.pth").rename(run / "model_final.pth")
    assert run_command("export", ["--config-file", str(run)], "export") == 0, capsys.readouterr().err
    assert (run / "model.onnx").is_file()


def test_an_unequal_file_is_refused(save, tmp_path, monkeypatch):
    """A model that is another one in the exported file leaves nothing."""
    cfg = save(*ARCHITECTURES["BoT"])
    content = exporting.to_onnx(exporting.load_trained(cfg).eval(), (64, 32))
    other = exporting.load_trained(cfg).eval()
    other.heads.bottleneck[-1].running_mean += 0.1
    with pytest.raises(
        ExportError, match=r"differs from the model by .* not below 1e-04; nothing is written"
    ):
        exporting.compare(other, content, (64, 32))
    monkeypatch.setattr(exporting, "load_trained", lambda cfg: other)
    monkeypatch.setattr(exporting, "to_onnx", lambda model, size: content)
    with pytest.raises(ExportError):
        exporting.export(cfg, tmp_path / "model.onnx")
    assert not list(tmp_path.glob("model.*"))


def test_each_file_has_its_own_description(save, tmp_path):
    cfg = save(*ARCHITECTURES["BoT"])
    for name, description in (("m.onnx", "m.json"), ("v1.2", "v1.2.json"), ("v1.3", "v1.3.json")):
        exporting.export(cfg.clone(), tmp_path / "out" / name)
        assert json.loads((tmp_path / "out" / description).read_text())["file"] == name
    assert len(list((tmp_path / "out").iterdir())) == 6
    for name in ("x.json", "x.JSON"):
        with pytest.raises(ConfigError, match=rf"cannot be named {name}, .*; use x\.onnx$"):
            exporting.export(cfg, tmp_path / "other" / name)
    assert not (tmp_path / "other").exists()


def test_without_a_description_there_is_no_file(save, tmp_path, monkeypatch):
    cfg = save(*ARCHITECTURES["BoT"])
    (tmp_path / "m.json").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(exporting, "load_trained", lambda cfg: pytest.fail("it was checked too late"))
        with pytest.raises(DataError, match=r"cannot write .*m\.json: it is a folder"):
            exporting.export(cfg.clone(), tmp_path / "m.onnx")

    def full(path, record):
        raise DataError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(exporting, "write_record", full)
    with pytest.raises(DataError, match="No space"):
        exporting.export(cfg, tmp_path / "n.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"m.json", "weights.pth"}


class FixedBatch(torch.nn.Module):
    """Tracing makes a constant of the batch size."""

    def forward(self, images):
        return images.flatten(1)[:, :4] * int(images.shape[0])


class Indescribable(torch.nn.Module):
    """ONNX has no such operation."""

    def forward(self, images):
        return torch.linalg.eigvals(images[:, 0, :8, :8]).real


def test_models_that_onnx_cannot_say():
    with pytest.raises(ExportError, match="FixedBatch differs from the model"):
        exporting.compare(FixedBatch(), exporting.to_onnx(FixedBatch(), (16, 8)), (16, 8))
    with pytest.raises(ExportError, match="Indescribable cannot be written as ONNX"):
        exporting.to_onnx(Indescribable(), (16, 8))


def test_relative_error():
    one = np.array([[1.0, -4.0]])
    assert exporting.relative_error(one, one) == 0
    assert exporting.relative_error(one + 0.1, one) == pytest.approx(0.1 / 4)
    assert exporting.relative_error(one / 100 + 0.1, one / 100) == pytest.approx(0.1), (
        "small values: absolute"
    )
    assert exporting.relative_error(one[:, :1], one) == float("inf")
    assert np.isnan(exporting.relative_error(one * float("nan"), one))


@pytest.mark.parametrize(
    "opts, error, words",
    [
        (["MODEL.WEIGHTS", ""], ConfigError, "MODEL.WEIGHTS ''"),
        (["INPUT.SIZE_TEST", "[0, 0]"], ConfigError, "one fixed"),
        (
            ["INPUT.SIZE_TEST", "[32]"],
            ConfigError,
            "INPUT.SIZE_TEST is [32]; an exported model needs one fixed",
        ),
        (["MODEL.BACKBONE.DEPTH", "34x"], WeightsError, "weights"),
    ],
)
def test_bad_input_is_a_sentence(save, tmp_path, opts, error, words):
    cfg = save(*ARCHITECTURES["BoT"])
    cfg.merge_from_list(opts)
    with pytest.raises(error) as caught:
        exporting.export(cfg, tmp_path / "model.onnx")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model.onnx").exists()
