"""Masks of body parts: MPN divides an image without a usable one evenly and says so, or refuses it with STRICT."""

import numpy as np
import pytest
from PIL import Image

MPN = (
    "MODEL.META_ARCHITECTURE",
    "MPN",
    "MODEL.HEADS.NAME",
    "MPNHead",
    "MODEL.MPN.WIDTH",
    "16",
    "MODEL.MPN.REDUCTION",
    "4",
)
MPN += ("INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]", "MODEL.MPN.PARTS", "2")
STRICT = ("MODEL.MPN.PRIOR.STRICT", "True")


def save(path, values, mode=None):
    Image.fromarray(values, mode).save(path)


def missing(path):
    path.unlink()


def no_bytes(path):
    path.write_bytes(b"")


def truncated(path):
    path.write_bytes(path.read_bytes()[:40])


def words(path):
    path.write_text("no mask")


def of_another_size(path):
    save(path, np.ones((8, 8), np.uint8))


def turned(path):
    save(path, np.ones((16, 32), np.uint8))


def empty(path):
    save(path, np.zeros((32, 16), np.uint8))


def coloured(path):
    save(path, np.ones((32, 16, 3), np.uint8))


def sixteen_bit(path):
    save(path, np.ones((32, 16), np.uint16))


def other_numbers(path):
    save(path, np.full((32, 16), 255, np.uint8))


def a_folder(path):
    path.unlink()
    path.mkdir()


CASES = [
    (missing, "1 missing"),
    (no_bytes, "1 unreadable"),
    (truncated, "1 unreadable"),
    (words, "1 unreadable"),
    (of_another_size, "1 of another size"),
    (turned, "1 of another size"),
    (empty, "1 empty"),
    (coloured, "1 unreadable"),
    (sixteen_bit, "1 unreadable"),
    (other_numbers, "1 unreadable"),
    (a_folder, "1 missing"),
]


@pytest.fixture
def mask(bench):
    image = bench.image()
    return bench.market / "part_masks" / image.parent.name / f"{image.stem}.png"


@pytest.mark.parametrize(("break_it", "words"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_mask_that_cannot_be_used_is_refused(bench, refused, mask, break_it, words):
    break_it(mask)
    refused(
        bench.train(*MPN, *STRICT), mask.name, words, "1 of 16 images", "fastreid-projects make-part-priors"
    )


def test_without_strict_it_is_a_warning(bench, worked, mask):
    other_numbers(mask)
    outcome = bench.train(*MPN)
    worked(outcome)
    assert "1 of 16 images have no usable mask" in outcome.text


def test_all_masks_are_fine(bench, worked):
    outcome = bench.train(*MPN, *STRICT)
    worked(outcome)
    assert "no usable mask" not in outcome.text


KEYS = [
    ("MODEL.MPN.PRIOR.FOLDER nowhere", "nowhere 16 missing"),
    ("MODEL.MPN.PRIOR.TYPE masks", "MODEL.MPN.PRIOR.TYPE masks uniform"),
    ("MODEL.MPN.PARTS 0", "MODEL.MPN.PARTS"),
    ("MODEL.MPN.WIDTH 0", "MODEL.MPN.WIDTH"),
    ("MODEL.MPN.REDUCTION 0", "MODEL.MPN.REDUCTION"),
    ("MODEL.MPN.ALIGN klass", "MODEL.MPN.ALIGN klass class"),
    ("MODEL.MPN.TASKS one", "MODEL.MPN.TASKS one"),
    ("MODEL.MPN.SHARE_CONV1 yes", "MODEL.MPN.SHARE_CONV1 yes"),
    ("MODEL.MPN.LAMBDA -1", "MODEL.MPN.LAMBDA"),
    ("MODEL.MPN.TRANSLATION.MODE on", "TRANSLATION.MODE on"),
    ("MODEL.MPN.TRANSLATION.MODE offline MODEL.MPN.TRANSLATION.FOLD 0", "TRANSLATION.FOLD"),
]


@pytest.mark.parametrize(("opts", "words"), KEYS, ids=[opts for opts, _ in KEYS])
def test_a_key_of_mpn(bench, refused, opts, words):
    refused(bench.train(*MPN, *STRICT, *opts.split()), *words.split())
