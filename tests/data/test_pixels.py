"""Pixels of files: those of ``read_image``; where a JPEG is much larger than needed, nearly those."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fastreid_projects.data import pixels
from fastreid_projects.data.images import read_image
from fastreid_projects.data.pixels import read_pixels
from fastreid_projects.errors import DataError

H, W = 32, 16


def detailed(size):
    """A picture of fine and coarse detail: noise at three scales, and sharp edges."""
    rng, (width, height) = np.random.default_rng(0), size
    image = Image.fromarray(rng.integers(0, 256, (height // 64 + 1, width // 64 + 1, 3), dtype=np.uint8))
    image = image.resize(size, Image.Resampling.BICUBIC)
    for cell in (2, 16):
        noise = Image.fromarray(rng.integers(0, 256, (height // cell, width // cell, 3), dtype=np.uint8))
        image = Image.blend(image, noise.resize(size, Image.Resampling.BICUBIC), 0.3)
    draw = ImageDraw.Draw(image)
    for number in range(0, height, 37):
        draw.line([(0, number), (width, height - number)], fill=(number % 256, 30, 200), width=5)
    return image


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


WAYS = {
    "jpeg": ("a.jpg", "RGB", {}),
    "odd quality": ("a.jpg", "RGB", {"quality": 31}),
    "all colours": ("a.jpg", "RGB", {"subsampling": 0}),
    "progressive": ("a.jpg", "RGB", {"progressive": True}),
    "a comment": ("a.jpg", "RGB", {"comment": b"x" * 70}),
    "rgb": ("a.jpg", "RGB", {"keep_rgb": True}),
    "turned": ("a.jpg", "RGB", {"exif": exif(6)}),
    "grey": ("a.jpg", "L", {}),
    "cmyk": ("a.jpg", "CMYK", {}),
    "png": ("a.png", "RGB", {}),
    "another suffix": ("a.png", "RGB", {"format": "JPEG"}),
}
BY_OPENCV = ("jpeg", "odd quality", "all colours", "progressive", "a comment", "rgb", "another suffix")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("least", [None, (H, W)])
def test_the_pixels_of_read_image(tmp_path, way, least, monkeypatch):
    name, mode, options = WAYS[way]
    path = str(tmp_path / name)
    detailed((3 * W + 1, 3 * H + 5)).convert(mode).save(path, **options)
    expected = np.asarray(read_image(path))
    if way in BY_OPENCV:
        monkeypatch.setattr(pixels, "read_image", None)
    found = read_pixels(path, least)
    assert found.dtype == np.uint8
    # Two builds of the decoder may round differently; these here do not.
    assert np.abs(found.astype(int) - expected).max() <= 2
    assert (found != expected).mean() < 0.01


def test_what_read_image_says_of_a_broken_file(tmp_path):
    path = tmp_path / "a.jpg"
    detailed((64, 64)).save(path)
    whole = path.read_bytes()
    for broken in (whole[:-100], whole[:30], whole[:-2], b"", b"\xff\xd8\xff\xd9", b"\xff\xd8" + whole[-9:]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"a\.jpg cannot be read"):
            read_pixels(str(path))
    with pytest.raises(DataError, match=r"does not exist"):
        read_pixels(str(tmp_path / "none.jpg"))
    with pytest.raises(DataError, match=r"is a folder"):
        read_pixels(str(tmp_path))


@pytest.mark.parametrize("factor", [4, 6, 8, 16])
def test_a_reduced_jpeg_is_as_good_when_resized(tmp_path, factor):
    """It is as near as 38 dB to the whole one, and about as near as that to the picture before it was saved."""
    width, height = 4 * W, 4 * H
    path = str(tmp_path / "a.jpg")
    picture = detailed((width * factor, height * factor))
    picture.save(path, quality=90)
    whole = read_image(path)
    reduced = Image.fromarray(read_pixels(path, (height, width)))
    assert 2 * width <= reduced.width <= whole.width // 2
    true, fine, coarse = (
        np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), float)
        for image in (picture, whole, reduced)
    )
    assert decibels(coarse, fine) > 38
    assert decibels(coarse, true) > min(decibels(fine, true), 41) - 1


def decibels(image, other):
    return 10 * np.log10(255**2 / ((image - other) ** 2).mean())


def test_others_are_decoded_whole(tmp_path):
    for factor, name in ((3, "a.jpg"), (8, "a.png")):
        path = str(tmp_path / name)
        detailed((W * factor, H * factor)).save(path)
        assert read_pixels(path, (H, W)).shape == (H * factor, W * factor, 3)
