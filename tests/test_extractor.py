"""Features of any pictures are those of the evaluation, in whatever form the pictures come, and resumed exactly."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.evaluation import inference_on_dataset
from fastreid.evaluation.evaluator import DatasetEvaluator
from PIL import Image

from fastreid_projects.commands.table import run_command
from fastreid_projects.data.feature_file import read_features
from fastreid_projects.engine.load_model import load_trained
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.extractor import Extractor
from tests.architectures import small_configs
from tests.test_export import ALL, make_config, settle


class Keeping(DatasetEvaluator):
    """Keeps what the evaluation computes."""

    def reset(self):
        self.features, self.paths = [], []

    def process(self, inputs, outputs):
        self.features.append(outputs.clone())
        self.paths += inputs["img_paths"]

    def evaluate(self):
        return {}


@pytest.mark.parametrize("flip", [False, True])
def test_the_same_numbers_as_the_evaluation(run_folder, tiny_market, flip):
    tiny_market()
    opts = ["TEST.FLIP.ENABLED", flip, "DATASETS.TESTS", ("Market1501",), "TEST.METRIC", "euclidean"]
    folder = run_folder(*opts)
    extractor = Extractor.from_config(folder)
    cfg = make_config(f"{folder}/config.yaml", ["MODEL.WEIGHTS", f"{folder}/model_final.pth"])
    kept = Keeping()
    loader = Trainer.build_test_loader(cfg, "Market1501")[0]
    inference_on_dataset(load_trained(cfg), loader, kept, flip_test=flip)
    assert torch.equal(torch.from_numpy(extractor(kept.paths)), torch.cat(kept.features))


@pytest.mark.parametrize("name", ALL)
def test_every_architecture(name, tmp_path, pictures):
    path, opts = ALL[name]
    classes = [] if "Clas" in name else ["MODEL.HEADS.NUM_CLASSES", "4"]
    cfg = make_config(path, [*opts, *classes, "OUTPUT_DIR", str(tmp_path / "run")])
    torch.manual_seed(0)
    model = settle(Trainer.build_model(cfg)).eval()
    torch.save({"model": model.state_dict()}, tmp_path / "w.pth")
    build = lambda: Extractor.from_config(  # noqa: E731
        str(path) if os.path.isabs(path) else path,
        str(tmp_path / "w.pth"),
        ["MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0", *opts],
        normalize=False,
    )
    if getattr(model, "output_kind", "features") != "features" or "Clas" in name:
        with pytest.raises(ConfigError, match="classifies pictures"):
            build()
        return
    extractor = build()
    found = extractor(pictures[:3])
    batch = torch.stack([extractor.transform(Image.open(path).convert("RGB")) for path in pictures[:3]])
    with torch.no_grad():
        expected = model(batch).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_architectures_are_not_left_out():
    assert len(small_configs()) >= 8


@pytest.mark.parametrize("normalize", [None, False])
def test_unit_length_where_the_metric_is_cosine(run_folder, pictures, normalize):
    folder = run_folder("TEST.METRIC", "cosine")
    lengths = np.linalg.norm(Extractor.from_config(folder, normalize=normalize)(pictures), axis=1)
    assert np.allclose(lengths, 1) == (normalize is None)


def test_pictures_in_all_forms(run_folder, pictures):
    extractor = Extractor.from_config(run_folder(), batch_size=4)
    expected = extractor(pictures)
    images = [Image.open(path) for path in pictures]
    arrays = [np.asarray(image) for image in images]
    tensors = [torch.from_numpy(array.copy()).permute(2, 0, 1) for array in arrays]
    for form in (images, arrays, tensors, [tensor.float() for tensor in tensors], tuple(pictures)):
        assert np.array_equal(extractor(form), expected)
        assert np.array_equal(extractor(one for one in form), expected)
    folder = os.path.dirname(os.path.dirname(pictures[0]))
    assert np.array_equal(extractor(folder), expected)
    assert np.array_equal(extractor([os.path.dirname(pictures[0]), *pictures[5:]]), expected)
    np.testing.assert_allclose(extractor(pictures[3]), expected[3:4], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(extractor(images[3]), expected[3:4], rtol=1e-5, atol=1e-5)
    same = np.stack([arrays[0], arrays[0]])
    np.testing.assert_allclose(extractor(same), expected[[0, 0]], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        extractor(torch.from_numpy(same).permute(0, 3, 1, 2)), expected[[0, 0]], rtol=1e-5, atol=1e-5
    )
    grey = arrays[0][:, :, 0]
    assert np.array_equal(extractor(grey), extractor(np.stack([grey] * 3, axis=2)))


@pytest.mark.parametrize("images", [list, iter])
def test_several_processes_or_threads_give_the_same(run_folder, pictures, images):
    folder = run_folder()
    one = Extractor.from_config(folder, batch_size=3)
    assert np.array_equal(
        Extractor.from_config(folder, batch_size=3, workers=2)(images(pictures)), one(pictures)
    )


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "no pictures"),
        (["nowhere.png"], r"nowhere\.png does not exist"),
        (7, "not int"),
        ([torch.rand(3, 8, 8)], "0..255"),
        ([torch.zeros(8, 8)], r"\(3, height, width\)"),
        ([np.zeros((8, 8, 3))], "uint8"),
    ],
)
def test_what_is_no_picture_is_a_sentence(run_folder, images, words):
    with pytest.raises(DataError, match=words):
        Extractor.from_config(run_folder())(images)


def test_no_weights_and_no_run_are_sentences(tmp_path, run_folder):
    with pytest.raises(ConfigError, match=r"does not hold a config\.yaml"):
        Extractor.from_config(str(tmp_path))
    folder = run_folder()
    os.remove(f"{folder}/model_final.pth")
    with pytest.raises(ConfigError, match=r"no weights are named, and .*model_final\.pth does not exist"):
        Extractor.from_config(folder)


def test_the_digest_tells_models_apart(run_folder, tmp_path):
    first = Extractor.from_config(run_folder())
    assert first.digest == Extractor.from_config(run_folder()).digest
    assert first.digest != Extractor.from_config(run_folder(seed=1)).digest
    assert first.digest != Extractor.from_config(run_folder(), opts=["INPUT.SIZE_TEST", "[48, 16]"]).digest
    copy = tmp_path / "copy.pth"
    state = torch.load(f"{run_folder()}/model_final.pth")["model"]
    torch.save({"state_dict": state}, copy)
    assert first.digest == Extractor.from_config(run_folder(), str(copy)).digest


def interrupt(extractor, after):
    """Let the extractor fail at a batch; returns the sizes of the batches that it computes."""
    computed, compute = [], type(extractor)._features

    def counted(images):
        if len(computed) == after:
            raise KeyboardInterrupt
        computed.append(len(images))
        return compute(extractor, images)

    extractor._features = counted
    return computed


@pytest.mark.parametrize("images", [list, iter])
def test_an_interrupted_extraction_goes_on(run_folder, pictures, tmp_path, images):
    extractor = Extractor.from_config(run_folder(), batch_size=3)
    expected = extractor(pictures)
    output = tmp_path / "new" / "features.npy"
    interrupt(extractor, after=2)
    with pytest.raises(KeyboardInterrupt):
        extractor.extract(images(pictures), output, progress=False)
    with output.with_suffix(".npy.part").open("ab") as file:  # killed while it wrote
        file.write(b"half a row")
    computed = interrupt(extractor, after=None)
    found = extractor.extract(images(pictures), output, progress=False)
    assert computed == [3, 1]
    assert np.array_equal(found.features, expected)
    assert isinstance(found.features, np.memmap)
    assert found.paths == pictures
    assert not list(output.parent.glob("*.part"))
    assert found.facts["model"] == extractor.digest


def test_what_has_changed_is_extracted_anew(run_folder, pictures, tmp_path):
    output = tmp_path / "features.npy"
    extractor = Extractor.from_config(run_folder(), batch_size=5)

    def begin():
        interrupt(extractor, after=1)
        with pytest.raises(KeyboardInterrupt):
            extractor.extract(pictures, output, progress=False)

    begin()
    other = Extractor.from_config(run_folder(seed=1), batch_size=5)
    assert np.array_equal(other.extract(pictures, output, progress=False).features, other(pictures))
    begin()
    computed = interrupt(extractor, after=None)
    extractor.extract(pictures[1:], output, progress=False)
    assert computed == [5, 4]
    begin()
    os.utime(pictures[0], (2e9, 2e9))
    computed = interrupt(extractor, after=None)
    extractor.extract(pictures, output, progress=False)
    assert computed == [5, 5]


def test_the_command_writes_features_and_names(run_folder, tiny_market, tmp_path, capsys):
    market = tiny_market()
    output = tmp_path / "market.npy"
    words = [
        "--config-file",
        run_folder(),
        "--images",
        "Market1501",
        str(market / "query"),
        "--output",
        str(output),
    ]
    assert run_command("extract", words, "extract") == 0, capsys.readouterr()
    found = read_features(output)
    assert len(found.rows) == 2 + 6 + 2
    assert found.rows[0][1:] == ("6", "0")
    assert found.rows[-1][1:] == ("", "")
    assert np.array_equal(found.features[0], found.features[-2])
    assert json.loads(output.with_suffix(".json").read_text())["pictures"] == 10
    assert "10 features of 16 numbers" in capsys.readouterr().out


def test_a_picture_needs_no_suffix(run_folder, pictures, tmp_path):
    bare = tmp_path / "photo"
    bare.write_bytes(Path(pictures[0]).read_bytes())
    words = [
        "--config-file",
        run_folder(),
        "--images",
        str(bare),
        pictures[0],
        "--output",
        str(tmp_path / "f.npy"),
    ]
    assert run_command("extract", words, "extract") == 0
    assert np.array_equal(*read_features(tmp_path / "f.npy").features)


@pytest.mark.parametrize(
    ("images", "output", "said"),
    [
        ("nowhere.jpg", "f.npy", "neither an image, a folder nor"),
        ("empty", "f.npy", "does not hold any image"),
        ("pictures", "f.txt", "end with .npy"),
        ("pictures", "empty", "name a file"),
    ],
)
def test_mistakes_are_said_before_the_model_is_loaded(
    run_folder, pictures, tmp_path, monkeypatch, capsys, images, output, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(Extractor, "of", None)
    words = ["--config-file", run_folder(), "--images", images, "--output", output]
    assert run_command("extract", words, "extract") == 2
    assert said in capsys.readouterr().err


def test_damaged_features_name_themselves(run_folder, pictures, tmp_path):
    output = tmp_path / "features.npy"
    Extractor.from_config(run_folder()).extract(pictures, output, progress=False)
    lines = output.with_suffix(".csv").read_text().splitlines(keepends=True)
    output.with_suffix(".csv").write_text("".join(lines[:-1]))
    with pytest.raises(DataError, match=r"features\.npy cannot be read.*names 9 pictures"):
        read_features(output)
    with pytest.raises(DataError, match=r"none\.npy does not exist"):
        read_features(tmp_path / "none.npy")
    with pytest.raises(DataError, match=r"\.png cannot be read: it is not an \.npy file"):
        read_features(pictures[0])
    with pytest.raises(DataError, match=r"end with \.npy"):
        Extractor.from_config(run_folder()).extract(pictures, tmp_path / "x.bin", progress=False)
