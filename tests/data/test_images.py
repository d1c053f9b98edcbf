"""Images of all modes are read as RGB, broken ones are named."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.data.common import CommDataset
from fastreid.data.data_utils import read_image
from fastreid.data.transforms import ToTensor, build_transforms
from fastreid.data.transforms.functional import to_tensor
from PIL import Image

from fastreid_projects.errors import DataError

COLOUR = (200, 100, 50)


def save(tmp_path: Path, mode: str) -> str:
    path = tmp_path / f"{mode.replace(';', '')}.{'jpg' if mode == 'CMYK' else 'png'}"
    Image.new("RGB", (2, 3), COLOUR).convert(mode).save(path, **({"quality": 100} if mode == "CMYK" else {}))
    return str(path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "P"])
def test_colour_modes(mode, tmp_path, unpatched):
    assert unpatched["image_modes"] == {"RGBA": "RGBA", "LA": "LA", "CMYK": "RGBA"}
    image = read_image(save(tmp_path, mode))
    assert (image.mode, image.size) == ("RGB", (2, 3))
    assert np.abs(np.asarray(image).astype(int) - COLOUR).max() <= 26  # of the palette


@pytest.mark.parametrize(("mode", "grey"), [("L", 124), ("LA", 124), ("1", 255)])
def test_grey_modes(mode, grey, tmp_path):
    path = tmp_path / "grey.png"
    Image.new(mode, (2, 3), (124, 7) if mode == "LA" else grey).save(path)
    assert np.unique(np.asarray(read_image(str(path)))).tolist() == [grey]


def test_sixteen_bits_are_scaled(tmp_path, unpatched):
    assert unpatched["sixteen_bit_image"].startswith("TypeError")
    path = tmp_path / "16.png"
    Image.fromarray(np.array([[0, 257, 65535]], np.uint16)).save(path)
    assert np.asarray(read_image(str(path)))[0, :, 0].tolist() == [0, 1, 255]


@pytest.mark.parametrize(
    ("values", "expected"), [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 7.0, 300.0], [0, 7, 255])]
)
def test_floats(values, expected, tmp_path):
    path = tmp_path / "float.tiff"
    Image.fromarray(np.array([values], np.float32)).save(path)
    assert np.asarray(read_image(str(path)))[0, :, 0].tolist() == expected


def test_exif_turns_the_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (2, 3)).save(path, exif=exif)
    assert read_image(str(path)).size == (3, 2)


def test_an_explicit_format_is_kept(tmp_path):
    path = save(tmp_path, "RGB")
    assert np.asarray(read_image(path, "BGR"))[0, 0].tolist() == list(COLOUR[::-1])
    assert read_image(path, "L").mode == "L"
    assert read_image(path, "RGB").mode == "RGB"


def test_broken_images_are_named(tmp_path, unpatched):
    assert unpatched["truncated_image"].startswith("OSError")
    assert "cut.jpg" not in unpatched["truncated_image"]
    whole = tmp_path / "whole.jpg"
    Image.effect_noise((64, 64), 50).convert("RGB").save(whole)
    content = whole.read_bytes()
    for name, broken in (("cut.jpg", content[:700]), ("text.jpg", b"no image"), ("empty.jpg", b"")):
        path = tmp_path / name
        path.write_bytes(broken)
        with pytest.raises(
            DataError, match=rf"{name} cannot be read \(.*\): replace or remove it\.$"
        ) as caught:
            read_image(str(path))
        assert "\n" not in str(caught.value)
        assert "<" not in str(caught.value)
        assert ("it is not an image of a known format" in str(caught.value)) == (name == "text.jpg")
        assert ("the file is empty" in str(caught.value)) == (name == "empty.jpg")
    with pytest.raises(DataError, match=r"nothing\.jpg does not exist"):
        read_image(str(tmp_path / "nothing.jpg"))


def test_an_image_of_an_unknown_kind_is_named(tmp_path):
    path = tmp_path / "odd.dds"
    Image.new("RGB", (8, 8)).save(path)
    content = bytearray(path.read_bytes())
    content[80:84] = bytes(4)  # the flags of the pixel format
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"odd\.dds cannot be read"):
        read_image(str(path))


def test_to_tensor_needs_no_deprecated_storage(unpatched):
    assert unpatched["tensor_warning"] is True
    image = Image.fromarray(np.arange(18, dtype=np.uint8).reshape(3, 2, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = ToTensor()(image)
    assert tensor.dtype == torch.float32
    assert torch.equal(tensor, torch.arange(18.0).reshape(3, 2, 3).permute(2, 0, 1))
    assert torch.equal(to_tensor(np.asarray(image)), tensor)


def test_to_tensor_of_other_values():
    assert to_tensor(Image.new("1", (2, 3), 1)).unique().tolist() == [255.0]
    assert to_tensor(np.ones((3, 2), np.float32)).dtype == torch.float32
    assert to_tensor(np.ones((3, 2), np.uint16)).shape == (1, 3, 2)
    with pytest.raises(ValueError, match="2 or 3 dimensions"):
        to_tensor(np.ones(3))


def test_random_affine(unpatched, tiny_cfg):
    assert "resample" in unpatched["affine"]
    transforms = build_transforms(tiny_cfg("INPUT.AFFINE.ENABLED", True))
    assert "RandomAffine" in repr(transforms)
    assert transforms(Image.new("RGB", (20, 40), COLOUR)).shape == (3, 32, 16)


def test_a_pickled_dataset_names_this_package_first(tmp_path):
    """A spawned worker then patches its host before it needs it."""
    dataset = CommDataset([(save(tmp_path, "RGB"), "p", "c")], ToTensor())
    data = pickle.dumps(dataset)
    assert data.index(b"fastreid_projects") < data.index(b"fastreid.")
    assert pickle.loads(data)[0]["images"].shape == (3, 3, 2)
