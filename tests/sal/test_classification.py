"""The classification extension: both datasets, the classifier, its error, a run."""

import hashlib
import pickle

import numpy as np
import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

from fastreid_projects.config import load_config
from fastreid_projects.data.datasets import build_dataset
from fastreid_projects.engine.main import main
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.records.tables import read_record
from fastreid_projects.sal import classification
from fastreid_projects.sal.classifier import ErrorEvaluator
from fastreid_projects.sal.shapes import CLASSES, draw_shapes
from tests.yaml_files import config_file

DEMO = str(config_file("sal_r18_cifar_demo.yml"))


def write_cifar(root, monkeypatch, train=40, test=20):
    """A small cifar-100-python that torchvision takes for the real one."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    rng, files = np.random.default_rng(0), {}
    for name, count in (("train", train), ("test", test)):
        data = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        files[name] = pickle.dumps({"data": data, "fine_labels": [i % 7 for i in range(count)]})
    files["meta"] = pickle.dumps({"fine_label_names": [f"c{i}" for i in range(100)]})
    sums = {}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    base = classification.TorchvisionCIFAR100
    monkeypatch.setattr(base, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(base, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(base, "meta", {**base.meta, "md5": sums["meta"]})
    monkeypatch.setenv("FASTREID_DATASETS", str(root))
    return pickle.loads(files["test"])


def test_cifar_is_read_by_torchvision_from_the_local_folder(tmp_path, monkeypatch):
    test = write_cifar(tmp_path, monkeypatch)
    data = build_dataset("CIFAR100")
    assert len(data.train) == 40
    assert [label for _, label, _ in data.query + data.gallery] == test["fine_labels"]
    picture = data.gallery[0][0]
    assert picture == "cifar100/test/10"
    expected = test["data"][10].reshape(3, 32, 32).transpose(1, 2, 0)
    assert np.array_equal(picture.pixels, expected)


def test_a_missing_cifar_names_the_folder_and_the_stand_in(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"none.cifar-100-python.*DrawnCIFAR100"):
        build_dataset("CIFAR100")
    assert not (tmp_path / "none").exists(), "nothing is downloaded or made"


def test_drawn_pictures_are_the_same_everywhere_and_differ_within_a_class():
    pixels, classes = draw_shapes(2, seed=3)
    again, _ = draw_shapes(2, seed=3)
    other, _ = draw_shapes(2, seed=4)
    assert pixels.shape == (200, 32, 32, 3)
    assert pixels.dtype == np.uint8
    assert np.array_equal(classes, np.repeat(np.arange(CLASSES), 2))
    assert np.array_equal(pixels, again)
    assert not np.array_equal(pixels, other)
    assert (np.abs(pixels[::2].astype(int) - pixels[1::2]).mean(axis=(1, 2, 3)) > 5).all()


def test_the_stand_in_has_a_hundred_classes_in_both_parts(monkeypatch):
    monkeypatch.setattr(classification, "draw_shapes", lambda count, seed: draw_shapes(1, seed))
    data = build_dataset("DrawnCIFAR100")
    assert {label for _, label, _ in data.train} == set(range(100))
    assert [label for _, label, _ in data.query + data.gallery] == list(range(100))


def test_error_rates_by_hand():
    evaluator = ErrorEvaluator()
    evaluator.reset()
    logits = torch.zeros(4, 7)
    logits[0, 2] = 1  # right
    logits[1] = torch.arange(7.0)  # class 3 is the fourth best: wrong, but among five
    logits[2] = torch.arange(7.0)  # class 0 is the last
    evaluator.process({"targets": torch.tensor([2, 3])}, logits[:2])
    evaluator.process({"targets": torch.tensor([0, 5])}, logits[2:])  # all equal: not known
    assert evaluator.evaluate() == {"Error": 75.0, "Error-5": 50.0, "metric": 25.0}
    with pytest.raises(DataError, match="NaN"):
        evaluator.process({"targets": torch.tensor([0])}, torch.full((1, 3), float("nan")))


def small_model(name, *opts):
    cfg = load_config(str(config_file(name)), ["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "5", *opts])
    torch.manual_seed(0)
    return META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg).eval()


ONE_LEVEL = [
    "MODEL.SAL.LEVELS",
    "(5,)",
    "MODEL.BACKBONE.FEAT_DIM",
    "512",
    "MODEL.LOSSES.NAME",
    "('CrossEntropyLoss',)",
]
CLAS_HEAD = ["MODEL.HEADS.NAME", "ClasHead", *ONE_LEVEL]


@pytest.mark.parametrize("head", [[], CLAS_HEAD])
@pytest.mark.parametrize("layer", ["Linear", "ArcSoftmax"])
def test_evaluation_gives_the_logits_of_training(head, layer):
    model = small_model("sal_r18_cifar_demo.yml", "MODEL.HEADS.CLS_LAYER", layer, *head)
    images = torch.rand(3, 3, 32, 32) * 255
    logits = model({"images": images.clone()})
    maps = model.backbone(model.preprocess_image({"images": images.clone()}))
    model.heads.train()
    expected = model.heads(maps, torch.arange(3))["pred_class_logits"]
    assert logits.shape == (3, 5)
    torch.testing.assert_close(logits, expected)


def test_table_4_has_three_models():
    with torch.device("meta"):
        shapes = {
            name: [tuple(m.shape[2:]) for m in (maps if isinstance(maps, list) else [maps])]
            for name in ("sal_ce_r50_cifar100.yml", "sal_ce_r101_cifar100.yml", "sal_r50_cifar100.yml")
            for maps in [small_model(name).backbone(torch.empty(2, 3, 32, 32))]
        }
    assert shapes["sal_ce_r50_cifar100.yml"] == shapes["sal_ce_r101_cifar100.yml"] == [(4, 4)]
    assert shapes["sal_r50_cifar100.yml"] == [(16, 16)] * 3


def test_a_run_trains_resumes_and_evaluates(tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "draw_shapes", lambda count, seed: draw_shapes(1, seed))
    out = ["OUTPUT_DIR", str(tmp_path / "out"), "MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0"]
    more = [
        "SOLVER.MAX_EPOCH",
        "2",
        "SOLVER.STEPS",
        "[]",
        "SOLVER.WARMUP_ITERS",
        "0",
        "TEST.EVAL_PERIOD",
        "2",
    ]
    assert main(["--config-file", DEMO, *out, *more]) == 0
    metrics = read_record(tmp_path / "out")["metrics"]
    assert set(metrics) == {"Error", "Error-5", "metric"}
    assert 0 < metrics["Error-5"] <= metrics["Error"] <= 100
    assert main(["--config-file", DEMO, "--resume", *out, *more]) == 0
    weights = ["MODEL.WEIGHTS", str(tmp_path / "out" / "model_final.pth")]
    assert main(["--config-file", DEMO, "--eval-only", *out, *weights]) == 0
    assert read_record(tmp_path / "out")["metrics"] == pytest.approx(metrics)


def test_a_classifier_has_to_know_its_classes():
    with pytest.raises(ConfigError, match="NUM_CLASSES"):
        small_model("sal_r18_cifar_demo.yml", "MODEL.HEADS.NUM_CLASSES", "0")


def test_classes_keep_their_numbers_in_training(monkeypatch):
    monkeypatch.setattr(classification, "draw_shapes", lambda count, seed: draw_shapes(1, seed))
    cfg = load_config(DEMO, ["MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0"])
    loader = Trainer.build_train_loader(cfg)
    batch = next(iter(loader))
    assert batch["images"].shape == (50, 3, 32, 32)
    for target, path in zip(batch["targets"].tolist(), batch["img_paths"], strict=True):
        assert path == f"drawn/train/{target}"
    assert loader.dataset.num_classes == 100
