"""What a ranking in random order scores, beside all orders of a small gallery and the host's own meter of ties."""

import itertools

import numpy as np
import pytest

from fastreid_projects.data.sources import Picture
from fastreid_projects.evaluation.chance import chance_scores, random_scores
from fastreid_projects.evaluation.ranking import RankingMeter
from fastreid_projects.retrieval.rank_lists import by_chance

QUERIES = (np.array([1, 2, 9]), np.array([0, 1, 0]))  # nobody has 9
GALLERY = (np.array([1, 1, 1, 2, 3]), np.array([0, 1, 2, 0, 0]))  # the first is junk for the first query


def test_it_is_the_mean_over_all_orders():
    scores = []
    for order in itertools.permutations(range(5)):
        meter = RankingMeter(*GALLERY)
        meter.update(np.tile(np.argsort(order), (3, 1)).astype(float), *QUERIES)
        result = meter.compute()
        scores.append([result.rank(1), result.rank(3), result.mAP, result.mINP])
    expected = 100 * np.mean(scores, axis=0)
    found = chance_scores(*QUERIES, *GALLERY, ranks=(1, 3))
    assert list(found) == ["Rank-1", "Rank-3", "mAP", "mINP"]
    assert list(found.values()) == pytest.approx(expected)


def test_without_a_match_there_is_no_chance():
    assert chance_scores([9], [0], *GALLERY) == {}
    assert random_scores([(0, 4)]) == {}


def test_a_searchs_chance_leaves_out_what_the_search_does():
    """The query's own camera, and the query itself where any camera counts."""

    def pictures(part):
        pids, cameras = part
        return [
            Picture(f"{pid}_{camera}.jpg", int(pid), int(camera))
            for pid, camera in zip(pids, cameras, strict=True)
        ]

    queries, gallery = pictures(QUERIES), pictures(GALLERY)
    assert by_chance(queries, gallery) == chance_scores(*QUERIES, *GALLERY)
    assert by_chance([Picture("x.jpg")], gallery) == {}
    anywhere = Picture("1_0.jpg", 1, None)  # is in the gallery, under camera 0
    assert by_chance([anywhere], gallery) == random_scores([(2, 2)])
