"""DATASETS.ID_FRACTION: whole identities are left out, the same ones every time, in every loader."""

import pytest

from fastreid_projects.data.identities import keep_identities
from fastreid_projects.errors import ConfigError


def items(identities=40, images=3):
    return [(f"{i}_{k}.jpg", f"set_{i}", k) for i in range(identities) for k in range(images)]


def kept(fraction, seed=0):
    return {item[1] for item in keep_identities(items(), fraction, seed)}


def test_a_share_of_the_identities_stays_with_all_their_images():
    for fraction, count in ((1.0, 40), (0.75, 30), (0.5, 20), (0.25, 10), (0.001, 2)):
        chosen = keep_identities(items(), fraction)
        identities = {item[1] for item in chosen}
        assert len(identities) == count
        assert chosen == [item for item in items() if item[1] in identities]


def test_less_is_a_part_of_more_and_a_seed_chooses():
    assert kept(0.25) < kept(0.5) < kept(0.75) < kept(1.0)
    assert kept(0.5) == kept(0.5)
    assert kept(0.5) != kept(0.5, seed=1)
    assert keep_identities(items()[::-1], 0.5)[::-1] == keep_identities(items(), 0.5)


def test_identities_may_be_numbers_and_names():
    """As in a dataset that combines its training with its test images."""
    mixed = [("a.jpg", 3, 0), ("b.jpg", "set_4", 0), ("c.jpg", 12, 0), ("d.jpg", "set_test_1", 0)]
    assert len(keep_identities(mixed, 0.5)) == 2


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(fraction):
    with pytest.raises(ConfigError, match=r"DATASETS\.ID_FRACTION is"):
        keep_identities(items(), fraction)


def test_any_training_loader_obeys(tiny_cfg, tiny_market):
    """The host's own and the Trainer's."""
    from fastreid.data import build_reid_train_loader

    from fastreid_projects import plugins
    from fastreid_projects.engine.trainer import Trainer

    tiny_market(ids=8)
    options = ("DATASETS.NAMES", ("Market1501",), "DATASETS.TESTS", ("Market1501",))
    half = tiny_cfg(*options, "DATASETS.ID_FRACTION", 0.5)
    assert build_reid_train_loader(tiny_cfg(*options)).dataset.num_classes == 8
    chosen = build_reid_train_loader(half).dataset
    assert (chosen.num_classes, len(chosen)) == (4, 16)
    cfg = plugins.get_cfg()
    cfg.merge_from_other_cfg(half)
    assert Trainer.build_train_loader(cfg).dataset.img_items == chosen.img_items
    cfg.DATASETS.ID_FRACTION_SEED = 3
    assert Trainer.build_train_loader(cfg).dataset.img_items != chosen.img_items


def test_the_items_of_a_built_dataset_are_chosen_from():
    """Which is what the loaders with attributes or masks take, too."""
    from types import SimpleNamespace

    from fastreid_projects.data.datasets import training_items

    data = SimpleNamespace(train=items())
    cfg = SimpleNamespace(DATASETS=SimpleNamespace(ID_FRACTION=0.5, ID_FRACTION_SEED=0))
    assert training_items(cfg, data, "Any") == keep_identities(items(), 0.5, 0)
