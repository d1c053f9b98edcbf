"""The main job on a tiny Market-1501: IDE, then MPN with masks, by one command; resumed, evaluated, refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fastreid_projects.data.part_masks import HEAD, LEG, mask_path, write_mask
from fastreid_projects.engine.main import main
from tests.conftest import write_market

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "projects" / "MPN" / "configs"
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
    ide.write_text("\n".join([f"_BASE_: {CONFIGS / 'mpn_ide_r18_demo.yml'}", *lines]))
    flags, opts = [w for w in words if w.startswith("--")], [w for w in words if not w.startswith("--")]
    given = ["MODEL.MPN.IDE", str(ide), "MODEL.MPN.PRIOR.FOLDER", "part_masks", "MODEL.MPN.WIDTH", "16"]
    out = ["OUTPUT_DIR", str(tmp_path / "out")]
    return main(["--config-file", str(CONFIGS / "mpn_r18_demo.yml"), *flags, *SMALL, *given, *out, *opts])


def weights(path):
    return torch.load(path, weights_only=True)["model"]


def test_the_main_job(market, tmp_path):
    assert run(tmp_path, "DATALOADER.NUM_INSTANCE", "4") == 0
    out = tmp_path / "out"
    record = json.loads((out / "run.json").read_text())
    assert {"Rank-1", "mAP", "mINP"} <= set(record["metrics"])
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
    assert "tools/make_part_priors.py" in last
