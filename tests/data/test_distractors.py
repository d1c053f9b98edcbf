"""Market-1501 with the 500,000 distractors in its gallery, by name."""

import pytest

from fastreid_projects.data.datasets import build_dataset
from fastreid_projects.errors import DataError
from fastreid_projects.plugins import get_cfg
from tests.layouts import draw, market

get_cfg()  # registers ours


def test_every_picture_of_the_folder_is_a_distractor(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    market(tmp_path)
    plain = build_dataset("Market1501")
    images = tmp_path / "Market-1501-v15.09.15" / "images"
    for name in ("0011_c1s1_000001_00.jpg", "-1_c9s1_000001_00.jpg", "some_name.png"):
        draw(images / name, 1)
    more = build_dataset("Market1501Distractors500k")
    assert (more.train, more.query) == (plain.train, plain.query)
    assert more.gallery[: len(plain.gallery)] == plain.gallery
    assert [item[1:] for item in more.gallery[len(plain.gallery) :]] == [(0, -1)] * 4
    for path in images.iterdir():
        path.unlink()
    with pytest.raises(DataError, match="images does not hold any distractor"):
        _ = build_dataset("Market1501Distractors500k").gallery
    images.rmdir()
    with pytest.raises(DataError, match="images is not found"):
        build_dataset("Market1501Distractors500k")
