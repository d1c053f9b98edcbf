"""The main job on a tiny Market-1501: IDE, then MPN with masks, by one command; resumed, evaluated, refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fastreid_projects.config import load_config
from fastreid_projects.engine.main import main
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.mpn.data.part_dataset import unusable_mask
from fastreid_projects.mpn.data.part_masks import HEAD, LEG, mask_path, write_mask
from tests.conftest import write_market
from tests.yaml_files import config_file

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    *(
        "DATASETS.NAMES",
        "('Market1501',)",
        "DATASETS.TESTS",
        "('Market1501',)",
        "DATALOADER.NUM_WORKERS",
        "0",
    ),
    *("SOLVER.IMS_PER_BATCH", "8", "SOLVER.WARMUP_ITERS", "0", "SOLVER.MAX_EPOCH", "2", "SOLVER.STEPS", "[]"),
    *(
        "INPUT.SIZE_TRAIN",
        "[64, 32]",
        "INPUT.SIZE_TEST",
        "[64, 32]",
        "MODEL.DEVICE",
        "cpu",
        "TEST.EVAL_PERIOD",
        "2",
    ),
]


@pytest.fixture
def market(tmp_path, monkeypatch):
    """A tiny Market-1501 with masks."""
    folder = write_market(tmp_path / "data", ids=4, test_ids=3, cameras=2, images=3, size=(32, 64))
    for path in folder.glob("*/*.jpg"):
        mask = np.zeros((64, 32), np.uint8)
        mask[4:20, 8:24], mask[30:60, 8:24] = HEAD, LEG
        write_mask(mask_path(path), mask)
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "data"))
    return folder


def run(tmp_path, *words):
    ide = tmp_path / "ide.yml"
    keys = dict(zip(SMALL[::2], SMALL[1::2], strict=True))
    groups = {}
    for key, value in keys.items():
        group, name = key.split(".", 1)
        groups.setdefault(group, []).append(f"  {name}: {value}")
    groups["MODEL"] = ["  DEVICE: cpu"]
    lines = [line for group, rows in groups.items() for line in (f"{group}:", *rows)]
    ide.write_text("\n".join([f"_BASE_: {config_file('mpn_ide_r18_demo')}", *lines]))
    flags, opts = [w for w in words if w.startswith("--")], [w for w in words if not w.startswith("--")]
    given = ["MODEL.MPN.IDE", str(ide), "MODEL.MPN.PRIOR.FOLDER", "part_masks", "MODEL.MPN.WIDTH", "16"]
    out = ["OUTPUT_DIR", str(tmp_path / "out")]
    return main(["--config-file", str(config_file("mpn_r18_demo.yml")), *flags, *SMALL, *given, *out, *opts])


def weights(path):
    return torch.load(path, weights_only=True)["model"]


def test_the_main_job(market, tmp_path):
    junk = market / "bounding_box_test" / "-1_c1s1_000001_00.jpg"
    shutil.copy(min((market / "bounding_box_test").glob("*.jpg")), junk)
    assert run(tmp_path, "DATALOADER.NUM_INSTANCE", "4") == 0
    out = tmp_path / "out"
    record = json.loads((out / "run.json").read_text())
    assert {"Rank-1", "mAP", "mINP"} <= set(record["metrics"])
    assert record["counts"]["Market1501"]["junk"] == 1, "counted also in a dataset of the architecture's own"
    ide, final = weights(out / "ide" / "model_final.pth"), weights(out / "model_final.pth")
    assert "heads.weight" in ide
    assert "heads.conv1.weight" in final
    log = (out / "log.txt").read_text()
    assert f"Loading checkpoint from {out / 'ide' / 'model_final.pth'}" in log, "MPN starts from the IDE"
    assert "no usable mask" not in log

    for path in (out / "model_final.pth", out / "last_checkpoint"):
        path.unlink()
    (out / "last_checkpoint").write_text("model_0000.pth" if (out / "model_0000.pth").is_file() else "")
    before = (out / "ide" / "model_final.pth").stat().st_mtime_ns
    assert run(tmp_path, "DATALOADER.NUM_INSTANCE", "4") == 0
    assert (out / "ide" / "model_final.pth").stat().st_mtime_ns == before, "a trained IDE is used again"
    again = weights(out / "model_final.pth")
    assert all(torch.equal(again[name], value) for name, value in final.items()), "same seed, same weights"

    assert run(tmp_path, "--eval-only", "MODEL.WEIGHTS", str(out / "model_final.pth")) == 0
    evaluated = json.loads((out / "run.json").read_text())["metrics"]
    assert evaluated["mAP"] == pytest.approx(record["metrics"]["mAP"])


def test_strict(market, tmp_path, capsys):
    next(market.glob("part_masks/bounding_box_train/*.png")).unlink()
    words = ("DATALOADER.NUM_INSTANCE", "4", "MODEL.WEIGHTS", "")
    assert run(tmp_path, *words, "MODEL.MPN.PRIOR.STRICT", "True") == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: STAGES mpn: 1 of 24 images have no usable mask"), (
        "before the IDE is trained"
    )
    assert "fastreid-projects make-part-priors" in last


def test_errors_of_the_training_images_where_tests_need_masks(market):
    """Baseline (UB): tests are of the auxiliary tasks, which cut by masks."""
    opts = [
        "MODEL.MPN.TASKS",
        "auxiliary",
        "MODEL.MPN.PRIOR.FOLDER",
        "part_masks",
        "TEST.FIDELITY.TRAIN",
        "True",
    ]
    cfg = load_config(
        str(config_file("mpn_prior_roi_r18_demo.yml")), [*SMALL, *opts, "MODEL.HEADS.NUM_CLASSES", "4"]
    )
    found = Trainer.test(cfg, Trainer.build_model(cfg))
    assert found["train_Error-I"] >= 0
    assert found["mAP"] > 0


def test_a_broken_picture_with_a_mask_is_one_sentence(market, tmp_path, capsys):
    broken = min(market.glob("bounding_box_train/*.jpg"))
    broken.write_bytes(b"no image")
    assert run(tmp_path) == 2
    assert f"{broken.name} cannot be read" in capsys.readouterr().err.splitlines()[-1]
    broken.unlink()
    with pytest.raises(DataError, match=f"{broken.name} does not exist"):
        unusable_mask(str(broken), "part_masks")


@pytest.mark.parametrize(
    "config", ["MPN/configs/demo/mpn_prior_uniform_r18_demo.yml", "FIDI/configs/demo/fidi_bdb_r18_demo.yml"]
)
def test_other_channels_than_the_heads_are_one_sentence(config):
    opts = ["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "4", "MODEL.BACKBONE.FEAT_DIM", "2048"]
    model = Trainer.build_model(load_config(str(ROOT / "projects" / config), opts)).eval()
    with pytest.raises(ConfigError, match=r"MODEL\.BACKBONE\.FEAT_DIM is 2048, .* 512"):
        model({"images": torch.zeros(2, 3, 64, 32)})
