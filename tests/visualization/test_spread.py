"""Which of many are shown."""

import numpy as np

from fastreid_projects.visualization.spread import evenly_spread


def test_from_the_first_to_the_last_at_even_distances():
    shown = evenly_spread(range(47), 24)
    assert shown == list(range(0, 47, 2))
    shown = evenly_spread(range(100), 7)
    assert (shown[0], shown[-1], len(shown)) == (0, 99, 7)
    assert set(np.diff(shown)) <= {16, 17}


def test_fewer_than_asked_for_and_none():
    assert evenly_spread("abc", 5) == ["a", "b", "c"]
    assert evenly_spread("abc", 1) == ["a"]
    assert evenly_spread("abc", 0) == evenly_spread("", 3) == []
