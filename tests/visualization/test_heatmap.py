"""Heat maps: the image stays visible, one scale, smooth, readable without colour, clear errors."""

import base64

import cv2
import numpy as np
import pytest

from fastreid_projects.errors import DataError
from fastreid_projects.visualization import (
    colour_bar,
    overlay,
    pair_scale,
    photo_data_uri,
    png_data_uri,
    save_png,
)

GREY = np.full((128, 64, 3), 128, np.uint8)


def luminance(image):
    return image.astype(np.float64) @ [0.299, 0.587, 0.114]


def blob(height=16, width=8, row=0.5, column=0.5, spread=0.12):
    y, x = np.mgrid[:height, :width]
    y, x = (y + 0.5) / height - row, (x + 0.5) / width - column
    return np.exp(-(y**2 + x**2) / (2 * spread**2)).astype(np.float32)


@pytest.fixture
def textured():
    noise = np.random.default_rng(0).integers(0, 256, (32, 16, 3), dtype=np.uint8)
    return cv2.resize(noise, (64, 128), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("attention", [blob(), np.zeros((16, 8)), np.ones((16, 8))])
def test_image_stays_visible(textured, attention):
    before = textured.copy()
    out = overlay(textured, attention, low=0, high=1)
    assert out.shape == textured.shape
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(textured, before)
    assert np.corrcoef(luminance(out).ravel(), luminance(textured).ravel())[0, 1] > 0.75


def test_image_keeps_its_contrast_under_full_attention(textured):
    out = luminance(overlay(textured, np.ones((16, 8)), low=0, high=1))
    assert np.corrcoef(out.ravel(), luminance(textured).ravel())[0, 1] > 0.99
    assert out.std() == pytest.approx(0.4 * luminance(textured).std(), rel=0.02)


@pytest.mark.parametrize("ground", [0, 64, 128, 200, 255])
def test_brighter_means_more_attention_in_greyscale_and_opacity_grows(ground):
    # On white, a greater opacity of the still dark colours costs lightness first; the bright end always wins.
    bar = luminance(colour_bar(256, 4, ground=ground))[0]
    assert bar[-1] > bar[0] + 25
    assert bar.argmax() == 255
    if ground <= 128:
        assert (np.diff(bar) > -1.5).all()


def test_spread_between_two_grounds_shrinks_with_attention():
    seen = luminance(colour_bar(ground=255)) - luminance(colour_bar(ground=0))
    assert (np.diff(seen[0]) <= 1.5).all()
    assert seen[0, 0] == pytest.approx(0.8 * 255, abs=2)
    assert seen[0, -1] == pytest.approx(0.4 * 255, abs=2)


def test_upsampling_is_smooth():
    out = luminance(overlay(GREY, blob(), low=0, high=1))
    step = max(np.abs(np.diff(out, axis=0)).max(), np.abs(np.diff(out, axis=1)).max())
    blocky = np.kron(blob(), np.ones((8, 8)))
    block = overlay(GREY, blocky, low=0, high=1)
    assert step < 0.4 * np.abs(np.diff(luminance(block), axis=0)).max()


def test_upsampling_keeps_the_place():
    out = luminance(overlay(GREY, blob(row=0.25, column=0.75, spread=0.08), low=0, high=1))
    row, column = np.unravel_index(out.argmax(), out.shape)
    assert abs(row - 32) <= 4
    assert abs(column - 48) <= 4


def test_same_value_looks_the_same_on_both_images():
    query, gallery = blob(), 0.5 * blob()
    low, high = pair_scale(query, gallery)
    one = overlay(GREY, np.full((2, 2), 0.4), low=low, high=high)
    other = overlay(GREY, np.full((5, 3), 0.4), low=low, high=high)
    np.testing.assert_array_equal(one, other)
    peaks = [luminance(overlay(GREY, m, low=low, high=high)).max() for m in (query, gallery)]
    assert peaks[0] > peaks[1] + 20


def test_values_beyond_the_scale_are_clipped():
    np.testing.assert_array_equal(
        overlay(GREY, [[-5.0, 9.0]], low=0, high=1), overlay(GREY, [[0.0, 1.0]], low=0, high=1)
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (16, 8), (300, 200)])
def test_maps_of_any_size(shape):
    assert overlay(GREY, np.ones(shape), low=0, high=2).shape == GREY.shape


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0])
def test_constant_maps_give_an_even_picture(value):
    attention = np.full((16, 8), value)
    low, high = pair_scale(attention)
    out = overlay(GREY, attention, low=low, high=high)
    assert (out == out[0, 0]).all()
    assert (overlay(GREY, attention, low=value, high=value) == out[0, 0]).all()


def test_pair_scale_is_symmetric_and_robust():
    noise = np.random.default_rng(0).uniform(0, 1, (16, 8))
    query, gallery = noise.copy(), 2 * noise
    query[0, 0] = 1e6
    assert pair_scale(query, gallery) == pair_scale(gallery, query)
    low, high = pair_scale(query, gallery)
    assert 0 <= low < 0.1
    assert 1.8 < high < 2.1


def test_pair_scale_sees_a_single_peak_and_ignores_faint_noise():
    peak = np.zeros((20, 20))
    peak[3, 3] = 1
    assert pair_scale(peak) == (0, 1)
    nearly_constant = 1 + 1e-4 * np.random.default_rng(0).uniform(size=(16, 8))
    low, high = pair_scale(nearly_constant)
    assert high - low == pytest.approx(0.1, rel=0.01)
    assert pair_scale(np.zeros((4, 4))) == (0, 0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((GREY, np.array([[np.nan, 1.0]]), 0, 1), "NaN"),
        ((GREY, np.array([[np.inf, 1.0]]), 0, 1), "infinite"),
        ((GREY, np.ones(3), 0, 1), r"two-dimensional .*\(3,\)"),
        ((GREY, np.ones((0, 3)), 0, 1), "not empty"),
        ((GREY.astype(np.float32), np.ones((2, 2)), 0, 1), "uint8"),
        ((GREY[..., 0], np.ones((2, 2)), 0, 1), r"\(128, 64\)"),
        ((GREY, np.ones((2, 2)), 1, 0), "low <= high"),
        ((GREY, np.ones((2, 2)), 0, np.nan), "finite"),
    ],
)
def test_overlay_names_what_is_wrong(arguments, message):
    image, attention, low, high = arguments
    with pytest.raises(DataError, match=message):
        overlay(image, attention, low=low, high=high)


def test_opacity_must_leave_the_image_visible():
    with pytest.raises(DataError, match="alpha < 1"):
        overlay(GREY, np.ones((2, 2)), low=0, high=1, alpha=1.0)


def test_pair_scale_needs_sound_maps():
    with pytest.raises(DataError, match="at least one"):
        pair_scale()
    with pytest.raises(DataError, match="NaN"):
        pair_scale(np.ones((2, 2)), np.full((2, 2), np.nan))


def test_png_round_trip(tmp_path, textured):
    saved = save_png(tmp_path / "new" / "map.png", textured)
    encoded = png_data_uri(textured)
    assert encoded.startswith("data:image/png;base64,")
    for content in (saved.read_bytes(), base64.b64decode(encoded.split(",")[1])):
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(decoded[..., ::-1], textured)
    assert [p.name for p in saved.parent.iterdir()] == ["map.png"]


def test_photos_are_small_and_look_the_same():
    rng = np.random.default_rng(0)
    photo = cv2.resize(rng.integers(0, 256, (32, 16, 3), dtype=np.uint8), (128, 256))
    drawn = overlay(photo, rng.random((16, 8)), low=0, high=1)
    encoded = photo_data_uri(drawn)
    content = base64.b64decode(encoded.removeprefix("data:image/jpeg;base64,"))
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decoded.astype(float) - drawn).mean() < 4
    assert len(encoded) < len(png_data_uri(drawn)) / 3


def test_png_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write"):
        save_png(tmp_path / "file" / "map.png", GREY)
    with pytest.raises(DataError, match="uint8"):
        save_png(tmp_path / "map.png", GREY.astype(float))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]
