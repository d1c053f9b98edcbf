"""Pull against push: the gradients of a real batch with all pairs at one distance."""

import math

import pytest
import torch
from PIL import Image

from fastreid_projects.fidi.balance import BATCHES, balance_point, pull_against_push, write_balance
from fastreid_projects.fidi.losses import pair_losses


@pytest.mark.parametrize(("identities", "images"), BATCHES)
@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_equals_the_gradients_of_a_batch(identities, images, beta):
    """Summed over the pairs of a batch, whatever beta is."""
    labels = torch.arange(identities * images) // images
    same = labels[:, None] == labels
    u = 0.05
    distances = torch.full(same.shape, -math.log(u) / beta, dtype=torch.float64, requires_grad=True)
    losses = pair_losses(distances, same, 1.05, beta)
    losses.masked_fill(torch.eye(len(labels), dtype=torch.bool), 0).sum().backward()
    slopes = distances.grad
    ratio = slopes[same].sum() / -slopes[~same].sum()
    found = pull_against_push(torch.tensor(u, dtype=torch.float64), identities, images)
    assert found.item() == pytest.approx(ratio.item())


def test_where_pull_and_push_are_equal():
    for batch in ((8, 16), (8, 4)):
        u = torch.tensor(balance_point(*batch), dtype=torch.float64)
        assert pull_against_push(u, *batch).item() == pytest.approx(1, abs=1e-6)
    assert balance_point(8, 16) == pytest.approx(0.0044, rel=0.02)
    assert balance_point(16, 4) < 1e-18, "the batch of 16 x 4 cannot pull"
    assert balance_point(64, 2) == 0


def test_the_files(tmp_path):
    table, picture = write_balance(tmp_path)
    header, first, *_ = table.read_text().splitlines()
    assert header == "u,8 x 16,8 x 4,16 x 4"
    assert [float(x) > 1 for x in first.split(",")[1:]] == [True, True, False]
    assert Image.open(picture).size[0] > 500
