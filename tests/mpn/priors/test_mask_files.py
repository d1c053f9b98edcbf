"""Where masks are written and where not, which are made anew, and what the commands say about a mistake."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastreid_projects.commands.table import run_command
from fastreid_projects.errors import ConfigError, DataError, WeightsError
from fastreid_projects.mpn.data.part_masks import HEAD, LEG, mask_path, read_mask, write_mask
from fastreid_projects.mpn.priors import make_priors as priors
from fastreid_projects.mpn.providers import Found, base, blazepose, build_provider

H, W = 64, 32


def make_masks(words):
    return run_command("make-part-priors", words, "make_part_priors.py")


class Halves:
    """Head above, leg below."""

    def __init__(self, options):
        pass

    @staticmethod
    def add_arguments(parser):
        pass

    def find(self, image, path):
        parts = np.zeros(image.shape[:2], np.uint8)
        parts[: len(parts) // 2], parts[len(parts) // 2 :] = HEAD, LEG
        return Found(parts, parts > 0)


class TooSmall(Halves):
    """A mask of another size."""

    def find(self, image, path):
        return super().find(image[1:], path)


@pytest.fixture(autouse=True)
def _providers(monkeypatch):
    for cls in (Halves, TooSmall):
        monkeypatch.setitem(base.PROVIDERS, cls.__name__, f"{__name__}:{cls.__name__}")


def draw(*names, size=(W, H)):
    """RGB images; returns their paths."""
    for path in map(Path, names):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (90, 40, 20)).save(path)
    return [str(name) for name in names]


def make(images, folder="part_masks", **options):
    return priors.make_priors(images, "Halves", {}, folder=folder, workers=1, **options)


@pytest.fixture
def images(tmp_path):
    return draw(*(tmp_path / "data" / "train" / f"{i}.png" for i in range(3)))


@pytest.mark.parametrize("folder", ["", ".", "DATA", "train/..", "LINK"])
def test_a_folder_that_is_the_images_own_is_refused(images, tmp_path, folder):
    (tmp_path / "link").symlink_to(tmp_path / "data")
    folder = folder.replace("DATA", str(tmp_path / "data")).replace("LINK", str(tmp_path / "link"))
    before = Path(images[0]).read_bytes()
    with pytest.raises(ConfigError, match=f"--folder '{re.escape(folder)}' .*part_masks"):
        make(images, folder)
    assert Path(images[0]).read_bytes() == before
    assert sorted(os.listdir(tmp_path / "data")) == ["train"]


def test_no_mask_takes_the_place_of_an_image(images, tmp_path):
    """The images are elsewhere; the named paths are links to them."""
    (tmp_path / "masks" / "train").mkdir(parents=True)
    (tmp_path / "masks" / "train" / "1.png").symlink_to(images[1])
    with pytest.raises(ConfigError, match=r"masks/train/1\.png"):
        make(images, str(tmp_path / "masks"))
    assert os.listdir(tmp_path / "masks" / "train") == ["1.png"]


def test_two_images_of_one_mask_are_refused(tmp_path):
    alike = draw(tmp_path / "a" / "train" / "x.jpg", tmp_path / "a" / "train" / "x.png")
    with pytest.raises(DataError, match=r"train/x\.jpg and .*train/x\.png have the same mask"):
        make(alike)
    splits = draw(tmp_path / "train" / "0" / "c1.jpg", tmp_path / "query" / "0" / "c1.jpg")
    with pytest.raises(DataError, match=r"train/0/c1\.jpg and .*query/0/c1\.jpg have the same mask"):
        make(splits, str(tmp_path / "masks"))
    assert not (tmp_path / "masks").exists()
    assert make(splits).made == 2


@pytest.mark.parametrize("given", [".", "..", "sub/.."])
def test_the_folder_in_which_one_stands(images, monkeypatch, given):
    here = Path(images[0]).parent
    (here / "sub").mkdir()
    monkeypatch.chdir(here / "sub" if given == ".." else here)
    found = priors.folder_images(given)
    assert found == images
    make(found)
    assert mask_path(images[0]).is_file()


def test_a_mask_of_another_size_is_made_anew(images):
    make(images)
    draw(images[1], size=(W, 2 * H))
    assert make(images).made == 1
    assert read_mask(mask_path(images[1])).shape == (2 * H, W)
    assert make(images).made == 0


def test_a_provider_whose_parts_have_another_size(images):
    with pytest.raises(DataError, match=f"0.png are {W} x {H - 1} pixels and the image is {W} x {H}"):
        priors.make_priors(images, "TooSmall", {}, workers=1)
    assert not mask_path(images[0]).exists()


def test_bodies_of_fewer_rows_than_parts_are_divided_evenly(images):
    """Head and leg are there, but in four of the map's 24 rows: as in training."""
    flat = np.zeros((H, W), np.uint8)
    flat[: H // 12], flat[H // 12 : H // 6] = HEAD, LEG
    make(images)
    write_mask(mask_path(images[0]), flat)
    assert priors.summarize(images, "part_masks") == (3, 1, 0, 0, 0)


def test_what_a_killed_run_left_is_removed(images):
    make(images)
    ended = subprocess.Popen(["true"])
    ended.wait()
    place = mask_path(images[0]).parent
    for pid in (ended.pid, os.getppid()):
        (place / f".x.png.{pid}.part").write_bytes(b"half")
    make(images)
    assert [path.name for path in place.glob(".*")] == [f".x.png.{os.getppid()}.part"]


@pytest.mark.parametrize("size", [(2, 800), (2000, 2)])
def test_a_sheet_of_images_of_extreme_shapes(tmp_path, size):
    images = draw(tmp_path / "train" / "x.png", size=size)
    make(images)
    sheet = priors.contact_sheet(images, "part_masks", tmp_path / "sheet.png")
    assert Image.open(sheet).height == 200


def test_a_sheet_shows_the_last_image_as_well(images, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(
        priors, "_tile", lambda path, *_: shown.append(path) or np.zeros((192, 8, 3), np.uint8)
    )
    priors.contact_sheet(images, "part_masks", tmp_path / "sheet.png", count=2)
    assert shown == [images[0], images[2]]


def test_a_sheet_replaces_no_image_and_no_mask(images, capsys):
    before = Path(images[0]).read_bytes()
    for sheet in (images[0], mask_path(images[0]), Path(images[0]).parent):
        words = ["drawn", "--images", str(Path(images[0]).parent), "--contact-sheet", str(sheet)]
        assert make_masks(words) == 2
        assert re.match(r"error: .*name (another|a) file", capsys.readouterr().err)
    assert Path(images[0]).read_bytes() == before


@pytest.mark.parametrize("device", ["foo", "cuda:77", "meta"])
def test_a_device_that_is_not_there(images, capsys, device):
    assert make_masks(["torchvision", "--images", str(Path(images[0]).parent), "--device", device]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: --device '{device}' is not a device")


def interpreter(takes, *gives):
    """What stands in for ai-edge-litert's, with arrays of its own integers for shapes."""

    class Interpreter:
        def __init__(self, path, num_threads):
            pass

        def allocate_tensors(self):
            pass

        def get_input_details(self):
            return [{"shape": np.array(takes, np.int32), "index": 0}]

        def get_output_details(self):
            return [{"shape": np.array(shape, np.int32), "index": i} for i, shape in enumerate(gives)]

    return Interpreter


OTHER_MODELS = {
    "swapped": (blazepose._DETECTOR.takes, blazepose._DETECTOR.gives, "probably swapped with --detector"),
    "another input": ((1, 192, 192, 3), [(1, 195)], "another model"),
    "another output": (blazepose._LANDMARKS.takes, [(1, 256, 256, 1)], "other outputs: it is another model"),
}


@pytest.mark.parametrize("kind", OTHER_MODELS)
def test_another_model_for_blazepose(tmp_path, monkeypatch, kind):
    takes, gives, words = OTHER_MODELS[kind]
    module = pytest.importorskip("ai_edge_litert.interpreter")
    monkeypatch.setattr(module, "Interpreter", interpreter(takes, *gives))
    (tmp_path / "x.tflite").write_bytes(b"a model")
    with pytest.raises(WeightsError, match=rf"--model .*{words}.*pose_landmark_full\.tflite") as caught:
        build_provider("blazepose", {"model": str(tmp_path / "x.tflite")})
    assert "int32" not in str(caught.value)
    with pytest.raises(WeightsError, match=r"--detector x .*swapped with --model"):
        blazepose._check_kind(
            "x", blazepose._DETECTOR, blazepose._LANDMARKS.takes, blazepose._LANDMARKS.gives
        )
