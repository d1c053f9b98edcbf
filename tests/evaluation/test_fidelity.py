"""Error-I and Error-II: against two loops, in chunks, in the evaluator's table."""

import math

import pytest
import torch

from fastreid_projects.errors import DataError
from fastreid_projects.evaluation.fidelity import fidelity_errors


def split(n=60, d=8, ids=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64), torch.randint(
        ids, (n,), generator=generator
    )


def naive(features, labels, distance, anchors=None):
    rows, ids = features.tolist(), labels.tolist()
    first, second, count = 0, 0, 0
    for a in range(len(rows)):
        if anchors is not None and not anchors[a]:
            continue
        positive = [distance(rows[a], x) for i, x in enumerate(rows) if i != a and ids[i] == ids[a]]
        negative = [distance(rows[a], x) for i, x in enumerate(rows) if ids[i] != ids[a]]
        if positive and negative:
            first += sum(x < max(positive) for x in negative)
            second += sum(x > min(negative) for x in positive)
            count += 1
    return first / count, second / count, count


def cosine(x, y):
    return -sum(a * b for a, b in zip(x, y, strict=True)) / math.hypot(*x) / math.hypot(*y)


@pytest.mark.parametrize("chunk", [1, 7, 256])
@pytest.mark.parametrize(("metric", "distance"), [("euclidean", math.dist), ("cosine", cosine)])
def test_equal_two_loops(metric, distance, chunk):
    for seed in range(3):
        features, labels = split(seed=seed)
        labels[0] = 77  # an anchor without a positive
        expected = naive(features, labels, distance)
        assert fidelity_errors(features, labels, metric, chunk=chunk) == pytest.approx(expected)
        anchors = torch.arange(60) % 3 == 0
        expected = naive(features, labels, distance, anchors.tolist())
        assert fidelity_errors(features, labels, metric, anchors=anchors, chunk=chunk) == pytest.approx(
            expected
        )


def test_by_hand():
    """On a line: identity 0 at 0, 1, 9; identity 1 at 2, 3."""
    features, labels = torch.tensor([[0.0], [1.0], [9.0], [2.0], [3.0]]), torch.tensor([0, 0, 0, 1, 1])
    found = fidelity_errors(features, labels)
    # farthest positive 9, 8, 9, 1, 1: nearer negatives 2, 2, 2, 0, 0 (1 is not nearer than 1)
    # nearest negative 2, 1, 6, 1, 2: farther positives 1, 1, 2, 0, 0
    assert (found.error_1, found.error_2, found.anchors) == (6 / 5, 4 / 5, 5)


def test_perfect_features_have_no_errors():
    labels = torch.arange(12) // 3
    found = fidelity_errors(torch.eye(4)[labels], labels)
    assert (found.error_1, found.error_2) == (0, 0)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_where_nothing_can_be_counted(labels):
    with pytest.raises(DataError, match="nothing can be counted"):
        fidelity_errors(torch.eye(3), torch.tensor(labels))


def test_labels_that_do_not_fit():
    with pytest.raises(DataError, match="3 features need as many labels"):
        fidelity_errors(torch.eye(3), torch.zeros(2))


def test_they_are_part_of_the_evaluators_table_when_asked_for(tiny_cfg):
    """Of query and gallery together; Market-1501's identity 0, distractors, is nobody's identity."""
    from fastreid.evaluation import ReidEvaluator

    features, labels = split(20, 6, 4)
    labels[:4] = torch.arange(4)
    pids = torch.cat([labels[:4] + 1, labels[4:] + 1])
    pids[-3:] = 0
    tables = {}
    for asked in (False, True):
        evaluator = ReidEvaluator(
            tiny_cfg("TEST.FIDELITY.ENABLED", asked, "TEST.METRIC", "euclidean"), num_query=4
        )
        evaluator.reset()
        camids = torch.cat([torch.zeros(4), torch.ones(16)]).long()
        evaluator.process({"targets": pids, "camids": camids}, features)
        tables[asked] = evaluator.evaluate()
    extra = {name: value for name, value in tables[True].items() if name not in tables[False]}
    expected = naive(features, pids, math.dist, (pids > 0).tolist())
    assert extra == pytest.approx({"Error-I": expected[0], "Error-II": expected[1]})
    assert {name: tables[True][name] for name in tables[False]} == tables[False]


def test_the_training_images_too(tiny_cfg, tiny_market):
    from fastreid_projects import plugins
    from fastreid_projects.engine.trainer import Trainer

    tiny_market(ids=4, images=2)
    cfg = plugins.get_cfg()
    options = (
        "DATASETS.NAMES",
        ("Market1501",),
        "DATASETS.TESTS",
        ("Market1501",),
        "TEST.FIDELITY.TRAIN",
        True,
    )
    cfg.merge_from_other_cfg(tiny_cfg(*options, "TEST.FIDELITY.ENABLED", True, "MODEL.HEADS.NUM_CLASSES", 4))
    torch.manual_seed(0)
    model = Trainer.build_model(cfg)
    found = Trainer.test(cfg, model)
    assert {"Error-I", "Error-II", "train_Error-I", "train_Error-II", "mAP"} <= set(found)
    assert 0 <= found["train_Error-I"] <= 12
    assert 0 <= found["train_Error-II"] <= 3
