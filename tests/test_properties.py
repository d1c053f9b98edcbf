"""What holds for every input: losses of pairs, distances, regions of a body, and images that move with their masks."""

import random

import numpy as np
import pytest
import torch
import torchvision.transforms as T
from fastreid.data.transforms import ToTensor
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from fastreid_projects.fidi.contrastive import batch_hard_contrastive_loss
from fastreid_projects.losses.batch_hard import batch_hard_triplet_loss
from fastreid_projects.losses.distances import pair_distances
from fastreid_projects.mpn.data.joint import JointTransform
from fastreid_projects.mpn.regions import find_regions
from fastreid_projects.sal.losses import quadruplet_hard_loss

LOSSES = [batch_hard_triplet_loss, batch_hard_contrastive_loss, quadruplet_hard_loss]
SEEDS = st.integers(0, 10_000)


def batch(seed, count, size, scale):
    generator = torch.Generator().manual_seed(seed)
    features = scale * torch.randn(count, size, generator=generator)
    features[-1] = features[0]  # samplers repeat an image
    return features, torch.randint(0, 3, (count,), generator=generator)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
@given(seed=SEEDS, count=st.integers(1, 12), size=st.integers(1, 5), scale=st.sampled_from([1e-4, 1.0, 1e4]))
@settings(max_examples=25, deadline=None)
def test_a_loss_of_pairs(loss, seed, count, size, scale):
    """Finite, not negative, with a finite gradient, and the same in every order of the batch."""
    features, labels = batch(seed, count, size, scale)
    assume(loss is not quadruplet_hard_loss or len(labels.unique()) == 3)  # it needs three identities
    features.requires_grad_()
    value = loss(features, labels)
    value.backward()
    assert value.isfinite()
    assert value >= 0
    assert features.grad.isfinite().all()
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(loss(features[order], labels[order]), value, rtol=1e-4, atol=1e-6 * scale)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@given(seed=SEEDS, count=st.integers(1, 8), scale=st.sampled_from([1e-4, 1.0, 1e4]))
@settings(max_examples=25, deadline=None)
def test_distances_of_pairs(metric, seed, count, scale):
    """Symmetric, not negative, nearly 0 of an image to itself."""
    features, _ = batch(seed, count, 4, scale)
    distances = pair_distances(features, metric)
    torch.testing.assert_close(distances, distances.T)
    assert (distances >= -1e-6).all()
    assert (distances.diagonal().abs() <= 1e-3 * max(scale, 1e-3)).all()


@given(seed=SEEDS, count=st.integers(1, 3), height=st.integers(2, 40), rows=st.integers(2, 12))
@settings(max_examples=40, deadline=None)
def test_the_region_of_a_body(seed, count, height, rows):
    """It is inside the map, is never empty, and is mirrored with its mask."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randint(0, 6, (count, height, height // 2 + 1), generator=generator).to(torch.uint8)
    found = find_regions(masks, masks, (rows, 4))
    assert (found.top >= 0).all()
    assert (found.top < found.bottom).all()
    assert (found.bottom <= rows).all()
    assert set(found.mask.unique().tolist()) <= {0.0, 1.0}
    assert (found.mask[~found.found] == 1).all()
    assert found.mask.flatten(1).any(1).all()


@given(seed=SEEDS, width=st.integers(2, 12), height=st.integers(2, 12), padding=st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_a_mask_goes_where_its_image_goes(seed, width, height, padding):
    """The image shows its own mask in grey: after flip, padding and crop it still does."""
    random.seed(seed)
    torch.manual_seed(seed)
    mask = np.random.default_rng(seed).integers(0, 6, (height, width), dtype=np.uint8)
    image = Image.fromarray(np.repeat(40 * mask[:, :, None], 3, axis=2))
    steps = [T.RandomHorizontalFlip(), T.Pad(padding), T.RandomCrop((height, width)), ToTensor()]
    moved, carried = JointTransform(T.Compose(steps))(image, mask)
    torch.testing.assert_close(moved[0], 40 * carried.float())
