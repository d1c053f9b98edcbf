"""What pages of explanations and of searches share: photos embedded once, maps as layers, names, places in words."""

import base64
import io
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from fastreid_projects.amd.explain.places import in_words, thirds
from fastreid_projects.visualization.browse import Entry, Trait, browse
from fastreid_projects.visualization.file_names import tell_apart
from fastreid_projects.visualization.heatmap import attention_layer, overlay
from fastreid_projects.visualization.photo_sheet import PhotoSheet
from fastreid_projects.visualization.signed import grey_photo, signed_layer, signed_overlay

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (64, 32, 3), dtype=np.uint8)


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def laid_over(photo, layer):
    """As a browser shows a layer of the photo's size on it."""
    rgba = np.asarray(decoded(layer.data_uri()).convert("RGBA"), dtype=float)
    opacity = rgba[..., 3:] / 255
    return photo * (1 - opacity) + rgba[..., :3] * opacity


def test_a_signed_layer_shows_what_the_overlay_does():
    shares = RNG.normal(size=(8, 4))
    shown = laid_over(grey_photo(PHOTO), signed_layer(shares, limit=2.0))
    assert (
        np.abs(shown - signed_overlay(PHOTO, shares, limit=2.0)).max() < 6
    )  # a half of 62 levels, and rounding
    assert decoded(signed_layer(np.zeros((8, 4)), limit=0.0).data_uri()).convert("RGBA").getextrema()[3] == (
        0,
        0,
    )


def test_an_attention_layer_shows_what_the_overlay_does():
    attention = RNG.random((8, 4))
    shown = laid_over(PHOTO, attention_layer(attention, low=0.1, high=0.9))
    assert np.abs(shown - overlay(PHOTO, attention, low=0.1, high=0.9)).max() < 8


@pytest.mark.parametrize("shape", [(1, 1), (8, 4), (24, 8), (100, 40)])
def test_a_layer_is_small_and_keeps_the_maps_proportions(shape):
    layer = signed_layer(RNG.normal(size=shape), limit=1.0)
    height, width = layer.levels.shape
    assert height * shape[1] == width * shape[0]
    assert 48 <= height <= 100
    assert len(layer.data_uri()) < 8_000


def test_a_photo_is_embedded_once_at_most_256_pixels_high():
    sheet = PhotoSheet()
    large = cv2.resize(PHOTO, (300, 600))
    names = [sheet.colour(PHOTO), sheet.colour(PHOTO.copy()), sheet.grey(PHOTO), sheet.colour(large)]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    rules = dict(re.findall(r"\.(photo-\d+)\{(.*)\}", sheet.style))
    assert set(rules) == set(names)
    assert "aspect-ratio:300/600" in rules[names[3]]
    sizes = {name: decoded(re.search(r"url\((.*)\)", rule)[1]) for name, rule in rules.items()}
    assert sizes[names[3]].size == (128, 256)
    assert sizes[names[2]].mode == "L"
    assert np.abs(np.asarray(sizes[names[2]], float) - grey_photo(PHOTO)[..., 0]).mean() < 12


def test_names_are_as_long_as_they_have_to_be():
    assert tell_apart(["a.jpg", "x/b.jpg", "x/b.jpg"]) == {"a.jpg": "a.jpg", "x/b.jpg": "b.jpg"}
    deep = ["r/1/a/x.jpg", "r/2/a/x.jpg", "r/2/b/x.jpg"]
    assert list(tell_apart(deep).values()) == ["1/a/x.jpg", "2/a/x.jpg", "b/x.jpg"]
    assert tell_apart(["a.jpg", "x/a.jpg"]) == {"a.jpg": "a.jpg", "x/a.jpg": "x/a.jpg"}
    assert tell_apart(["", "image"]) == {"": "", "image": "image"}


def test_what_pushes_apart_is_told_by_thirds():
    shares = np.zeros((8, 4))
    shares[2:4, 0] = [1.0, 3.0]  # row 2 is shared by the upper and the middle third
    shares[7] = -5.0
    assert thirds(shares) == pytest.approx([2 / 12, 10 / 12, 0])
    assert thirds(shares, np.vstack([np.zeros((5, 2)), np.full((1, 2), 2.0)])) == pytest.approx(
        [2 / 24, 10 / 24, 12 / 24]
    )
    assert thirds(-np.ones((4, 2))) is None
    assert "83 % is in the middle third" in in_words([2 / 12, 10 / 12, 0])
    assert in_words(None) == "No part of the photographs pushes them apart."
    assert sum(map(int, re.findall(r"(\d+) %", in_words([1 / 3] * 3)))) == 100


def test_the_tools_know_marks_persons_and_attributes():
    entries = [
        Entry("pair1", "a = b", ("A.jpg", "b.jpg"), ("0040", "X7"), ("same",), 2.5, "query1", {}),
        Entry("pair2", "a ≠ c", ("A.jpg", "c.jpg"), attributes={"hat": Trait(0.25, "differs", drawn=True)}),
    ]
    tools = browse(entries, {"same": "one person", "wrong": "wrong"}, "pairs")
    assert tools["marks"] == [("same", "one person", 1)]
    assert (tools["topics"], tools["states"], tools["persons"]) == (["hat"], ["differs"], True)
    assert tools["data"][0]["persons"] == ["40", "x7"]
    assert tools["data"][0]["files"] == ["a.jpg", "b.jpg"]
    assert tools["data"][1]["attributes"] == {0: [0.25, "differs", True]}
