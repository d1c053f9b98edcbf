"""What the host computes under a paper's name, against the paper's equation by a loop."""

import math

import pytest
import torch
import torch.nn.functional as F
from fastreid.layers.any_softmax import CircleSoftmax, CosSoftmax
from fastreid.modeling.losses import pairwise_circleloss, pairwise_cosface

MARGIN, GAMMA = 0.25, 8.0


def batch():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(8, 4, generator=generator, dtype=torch.float64)
    return features, torch.tensor([0, 0, 1, 1, 2, 2, 2, 3])


def similarities(features, labels, anchor):
    units = F.normalize(features, dim=1)
    found = [
        (float(units[anchor] @ units[other]), labels[other] == labels[anchor]) for other in range(len(units))
    ]
    pairs = [pair for other, pair in enumerate(found) if other != anchor]
    return [s for s, same in pairs if same], [s for s, same in pairs if not same]


def circle(positive, negative):
    """Sun et al. 2020, eq. 4 to 6, with O_p = 1 + m, O_n = -m, delta_p = 1 - m, delta_n = m."""
    near = sum(math.exp(-GAMMA * max(1 + MARGIN - s, 0) * (s - (1 - MARGIN))) for s in positive)
    far = sum(math.exp(GAMMA * max(s + MARGIN, 0) * (s - MARGIN)) for s in negative)
    return math.log(1 + near * far)


def cosface(positive, negative):
    """Sun et al. 2020, eq. 1: the unified loss without weights, of which CosFace is the case of a single proxy."""
    return math.log(1 + sum(math.exp(GAMMA * (n + MARGIN - p)) for n in negative for p in positive))


@pytest.mark.parametrize(("hosts", "naive"), [(pairwise_circleloss, circle), (pairwise_cosface, cosface)])
def test_pairwise_losses(hosts, naive):
    features, labels = batch()
    values = [naive(*similarities(features, labels, anchor)) for anchor in range(len(labels))]
    expected = sum(values) / len(values)
    assert float(hosts(features, labels, MARGIN, GAMMA)) == pytest.approx(expected, rel=1e-5)


def cosines(classes=4):
    generator = torch.Generator().manual_seed(1)
    logits = torch.rand(6, classes, generator=generator, dtype=torch.float64) * 1.6 - 0.8
    return logits, torch.randint(classes, (6,), generator=generator)


def test_the_circle_softmax_is_the_class_level_circle_loss():
    """Eq. 5 with class weights as proxies: one positive similarity, C - 1 negative ones."""
    logits, targets = cosines()
    outputs = CircleSoftmax(4, GAMMA, MARGIN)(logits.clone(), targets)
    losses = F.cross_entropy(outputs, targets, reduction="none")
    for row, target, loss in zip(logits.tolist(), targets.tolist(), losses.tolist(), strict=True):
        negative = [value for c, value in enumerate(row) if c != target]
        assert loss == pytest.approx(circle([row[target]], negative), rel=1e-6)


def test_the_cosine_softmax_takes_the_margin_off_the_label():
    """Wang et al. 2018 (CosFace), eq. 4."""
    logits, targets = cosines()
    outputs = CosSoftmax(4, GAMMA, MARGIN)(logits.clone(), targets)
    expected = logits.clone()
    for row, target in enumerate(targets.tolist()):
        expected[row, target] -= MARGIN
    torch.testing.assert_close(outputs, GAMMA * expected)
