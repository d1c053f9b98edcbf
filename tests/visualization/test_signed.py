"""Signed maps: warm and cool stay apart in grey and for colour-blind people, and nothing is drawn where nothing is."""

import numpy as np
import pytest

from fastreid_projects.errors import DataError
from fastreid_projects.visualization.signed import signed_bar, signed_limit, signed_overlay

LUMA = np.array([0.299, 0.587, 0.114])
# Linear models of missing long, middle and short cones on RGB (Viénot et al. 1999, Brettel et al. 1997).
BLIND = {
    "protan": [[0.1121, 0.8853, -0.0005], [0.1127, 0.8897, -0.0001], [0.0045, 0.0000, 1.0019]],
    "deutan": [[0.2920, 0.7054, -0.0003], [0.2934, 0.7089, 0.0000], [-0.0209, 0.0256, 1.0022]],
    "tritan": [[1.0160, 0.1351, -0.1488], [-0.0154, 0.8683, 0.1448], [0.1002, 0.8168, 0.1169]],
}
PHOTO = np.random.default_rng(0).integers(0, 256, (32, 16, 3), dtype=np.uint8)


def flat(value):
    return signed_overlay(PHOTO, np.full((4, 2), value), limit=1.0).astype(float)


def test_a_grey_print_tells_warm_from_photo_from_cool():
    warm, photo, cool = (flat(v) @ LUMA for v in (1, 0, -1))
    assert warm.min() > photo.max() + 15
    assert cool.max() < photo.min() - 5


@pytest.mark.parametrize("kind", BLIND)
def test_colour_blind_people_tell_them_apart(kind):
    warm, photo, cool = (flat(v).mean(axis=(0, 1)) @ np.array(BLIND[kind]).T for v in (1, 0, -1))
    for a, b in ((warm, cool), (warm, photo), (cool, photo)):
        assert np.linalg.norm(a - b) > 60


def test_where_nothing_is_the_photo_is_grey_and_the_sign_decides_the_colour():
    plain = flat(0)
    assert (plain[..., 0] == plain[..., 1]).all()
    assert (plain[..., 1] == plain[..., 2]).all()
    half = signed_overlay(PHOTO, np.array([[1.0], [-1.0]]), limit=1.0)
    assert half[2, 3, 0] > half[2, 3, 2]
    assert half[-3, 3, 0] < half[-3, 3, 2]
    bar = signed_bar(100, 4)
    assert bar[0, 0, 2] > bar[0, 0, 0]
    assert bar[0, -1, 0] > bar[0, -1, 2]


def test_one_limit_for_all_maps():
    maps = [np.linspace(-4, 4, 32).reshape(8, 4), np.zeros((2, 2))]
    assert signed_limit(*maps, percentile=100) == 4
    assert signed_limit(np.zeros((2, 2))) == 0
    np.testing.assert_array_equal(signed_overlay(PHOTO, np.zeros((2, 2)), limit=0), flat(0))
    np.testing.assert_array_equal(flat(2), flat(1))


def test_what_cannot_be_drawn():
    with pytest.raises(DataError, match="the signed map contains NaN"):
        signed_overlay(PHOTO, np.full((2, 2), np.nan), limit=1)
    with pytest.raises(DataError, match="limit of a signed map"):
        signed_overlay(PHOTO, np.zeros((2, 2)), limit=-1)
    with pytest.raises(DataError, match="at least one"):
        signed_limit()
