"""What is counted in a ranking: queries with a match, distractors, ties, and never a picture as its own match."""

import itertools

import numpy as np
import pytest

from fastreid_projects.data.datasets import check_matches
from fastreid_projects.errors import DataError
from fastreid_projects.evaluation.counts import count, in_words
from fastreid_projects.evaluation.ranking import RankingMeter, own_cameras


def rank(distances, query, gallery, query_cams=None, gallery_cams=None):
    meter = RankingMeter(gallery, np.ones(len(gallery), int) if gallery_cams is None else gallery_cams)
    meter.update(
        np.asarray(distances, np.float32),
        query,
        np.zeros(len(query), int) if query_cams is None else query_cams,
    )
    return meter.compute()


def test_queries_without_a_match_and_distractors_are_counted():
    result = rank(np.arange(12).reshape(3, 4), [1, 2, 3], [1, 1, 0, 7])
    counts = count(result, 4)
    assert {name: counts[name] for name in ("queries", "counted", "tied", "gallery", "distractors")} == {
        "queries": 3, "counted": 1, "tied": 0, "gallery": 4, "distractors": 2,
    }  # fmt: skip
    words = in_words({**counts, "junk": 5})
    assert "Counted: 1 of 3 queries; the others have no match in the gallery" in words
    assert "Gallery: 4 images, 2 of them distractors, whose identities no query has; 5 junk images" in words
    assert (
        in_words({**counts, "counted": 3, "distractors": 0}) == "Counted: 3 of 3 queries.\nGallery: 4 images."
    )


@pytest.mark.parametrize(
    ("distances", "tied"),
    [
        ([[1, 2, 3, 4]], 0),
        ([[1, 1, 3, 4]], 0),  # two matches
        ([[1, 2, 3, 3]], 0),  # two others
        ([[1, 2, 2, 4]], 1),
        ([[1, 1, 1, 1]], 1),
    ],
)
def test_ties(distances, tied):
    assert count(rank(distances, [1], [1, 1, 2, 2]), 4)["tied"] == tied


def test_a_tie_with_what_the_camera_leaves_out_decides_nothing():
    cameras = {"query_cams": [0], "gallery_cams": [0, 1, 1]}
    assert count(rank([[2, 1, 2]], [1], [1, 1, 2], **cameras), 3)["tied"] == 0
    assert count(rank([[2, 2, 2]], [1], [1, 1, 2], **cameras), 3)["tied"] == 1


def test_ties_against_all_orders():
    """A query is tied if and only if another order of the gallery gives another average precision."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        distances, gallery, cams = rng.integers(0, 3, 5), rng.integers(0, 3, 5), rng.integers(0, 2, 5)
        gallery[0], cams[0] = 1, 1
        orders = [list(order) for order in itertools.permutations(range(5))]
        found = [rank(distances[None, o], [1], gallery[o], [0], cams[o]) for o in orders]
        ties = found[0].ties
        assert bool(ties.queries) == (len({round(result.mAP, 9) for result in found}) > 1)
        precisions, firsts = [result.mAP for result in found], [result.rank(1) for result in found]
        assert ties.mAP == pytest.approx((min(precisions), max(precisions)))
        assert ties.rank_1 == (min(firsts), max(firsts))


def test_the_ends_of_several_queries_in_chunks_are_means():
    meter = RankingMeter([1, 1, 2, 2], [1] * 4)
    meter.update(np.array([[1, 2, 3, 4.0]]), [1], [0])  # 1
    meter.update(np.array([[2, 2, 2, 4.0], [5, 6, 5, 5]]), [1, 2], [0, 0])  # 7/12 to 1, twice 7/12 to 1
    ties = meter.compute().ties
    assert ties.queries == 2
    assert ties.mAP == pytest.approx(((1 + 7 / 12 + 7 / 12) / 3, 1))
    assert ties.rank_1 == pytest.approx((1 / 3, 1))
    words = in_words(count(meter.compute(), 4))
    assert (
        "mAP lies between 72.22 and 100.00, depending on the order of the gallery, as 2 queries have a match"
        in words
    )
    assert "Rank-1 lies between 33.33 and 100.00" in words


def test_a_picture_that_is_query_and_gallery_is_never_its_own_match():
    paths = ["a", "b", "a", "c"]
    cameras = own_cameras(4, paths)
    assert cameras.tolist() == [0, 1, 0, 2]
    result = rank([[0, 1], [0, 1]], [1, 1], [1, 1], cameras[:2], cameras[2:])
    assert result.first_hit.tolist() == [0, 0]
    assert result.inp.tolist() == [1.0, 1.0]
    assert own_cameras(3).tolist() == [0, 1, 2]
    items = [("a", 1, 0), ("a", 1, 0), ("b", 2, 0)]
    with pytest.raises(DataError, match=r"cannot be evaluated\. .* is the query itself"):
        check_matches("x", items, 1, same_camera=True)
    check_matches("x", [*items, ("c", 1, 0)], 1, same_camera=True)
