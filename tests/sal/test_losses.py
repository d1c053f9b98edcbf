"""SAL's losses against loops from the equations, by hand, at their edges."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fastreid_projects.config import load_config
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.losses import LOSSES
from fastreid_projects.losses.batch_hard import batch_hard_triplet_loss
from fastreid_projects.sal.losses import (
    QuadrupletHardLoss,
    SelfAttentionConstraint,
    _identities,
    attention_map,
    quadruplet_hard_loss,
    self_attention_constraint,
)


def random_maps(n=3, sizes=((5, 4, 3), (7, 4, 3), (2, 4, 3)), seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, *size, generator=generator, dtype=dtype) for size in sizes]


def naive_attention(features):
    """Eq. 1, one position after the other."""
    n, c, h, w = features.shape
    result = np.zeros((n, h * w))
    for image in range(n):
        for position in range(h * w):
            y, x = divmod(position, w)
            result[image, position] = sum(features[image, j, y, x] ** 2 for j in range(c)) / c
        result[image] /= np.sqrt((result[image] ** 2).sum())
    return result.reshape(n, h, w)


def naive_constraint(maps):
    """Eq. 2."""
    *others, last = [naive_attention(m.numpy()) for m in maps]
    return np.mean([sum(((last[i] - o[i]) ** 2).sum() for o in others) for i in range(len(last))])


def naive_quadruplet(features, labels, margin1=0.5, margin2=0.2):
    """Eq. 5 with the hardest quadruplet, one anchor after the other."""
    x, y = features.double().tolist(), labels.tolist()
    n = len(y)
    d = [
        [sum((a - b) ** 2 for a, b in zip(x[i], x[j], strict=True)) ** 0.5 for j in range(n)]
        for i in range(n)
    ]
    losses = []
    for i in range(n):
        positives = [d[i][j] for j in range(n) if y[j] == y[i] and j != i]
        if not positives:
            continue
        k = min((j for j in range(n) if y[j] != y[i]), key=lambda j: d[i][j])
        h = min((j for j in range(n) if y[j] not in (y[i], y[k])), key=lambda j: d[k][j])
        far = max(positives)
        losses.append(max(0, far - d[i][k] + margin1) + max(0, far - d[k][h] + margin2))
    return sum(losses) / len(losses) if losses else 0.0


# Self-attention constraint


def test_attention_by_hand():
    features = torch.tensor([[[[3.0, 0.0]], [[1.0, 2.0]]]])  # means of squares: 5 and 2
    expected = torch.tensor([[[5.0, 2.0]]]) / 29**0.5
    torch.testing.assert_close(attention_map(features), expected)


@pytest.mark.parametrize("seed", range(3))
def test_constraint_equals_the_equation(seed):
    maps = random_maps(seed=seed)
    assert self_attention_constraint(maps).item() == pytest.approx(naive_constraint(maps), rel=1e-12)
    two = maps[:2]
    assert self_attention_constraint(two).item() == pytest.approx(naive_constraint(two), rel=1e-12)


def test_constraint_of_equal_attention_is_zero_whatever_scale_and_channels():
    (a,) = random_maps(sizes=((4, 3, 3),))
    again = torch.cat([a, a], dim=1) * 1e3
    assert self_attention_constraint([a, again, -a]).item() == pytest.approx(0, abs=1e-12)


def test_constraint_of_disjoint_attention_is_two():
    left, right = torch.zeros(1, 2, 1, 4), torch.zeros(1, 3, 1, 4)
    left[..., 0], right[..., 3] = 1, 1
    assert self_attention_constraint([left, right]).item() == pytest.approx(2)
    assert self_attention_constraint([left, left, right]).item() == pytest.approx(4)


def test_the_last_map_is_the_reference():
    a, b, c = random_maps()
    by_pairs = self_attention_constraint([a, c]) + self_attention_constraint([b, c])
    torch.testing.assert_close(self_attention_constraint([a, b, c]), by_pairs)
    torch.testing.assert_close(self_attention_constraint([b, a, c]), by_pairs)
    assert not torch.isclose(self_attention_constraint([a, c, b]), by_pairs)


def test_constraint_resizes_attention_to_the_last_map():
    big, small = random_maps(sizes=((4, 8, 6), (3, 4, 3)))
    energy = F.interpolate(big.square().mean(1, keepdim=True), size=(4, 3), mode="bilinear", antialias=True)
    expected = (F.normalize(energy.flatten(1)) - attention_map(small).flatten(1)).square().sum(1).mean()
    torch.testing.assert_close(self_attention_constraint([big, small]), expected)
    flat = torch.ones(2, 3, 7, 5), torch.ones(2, 4, 2, 9)
    for maps in (flat, flat[::-1]):
        assert self_attention_constraint(maps).item() == pytest.approx(0, abs=1e-6)


def test_constraint_gradcheck_also_resized():
    for sizes in (((2, 3, 2), (3, 3, 2)), ((2, 4, 4), (3, 2, 2)), ((2, 2, 2), (1, 3, 4))):
        maps = [m.requires_grad_() for m in random_maps(2, sizes)]
        assert torch.autograd.gradcheck(lambda *m: self_attention_constraint(m), maps)


@pytest.mark.parametrize("scale", [0.0, 1e-18, 1e-6, 1e6, 1e15])
def test_constraint_is_finite_at_any_scale(scale):
    maps = [(m.float() * scale).requires_grad_() for m in random_maps()]
    loss = self_attention_constraint(maps)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(m.grad).all() for m in maps)
    if scale:
        expected = self_attention_constraint(random_maps()).float()
        torch.testing.assert_close(loss.detach(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_constraint_takes_half_precision_and_autocast(dtype):
    maps = [(m * 200).to(dtype) for m in random_maps()]  # squares leave float16's range
    expected = self_attention_constraint([m.float() for m in maps])
    assert torch.equal(self_attention_constraint(maps), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(self_attention_constraint([m.float() for m in maps]), expected)


def test_constraint_changes_no_input_and_refuses_what_is_no_list_of_maps():
    maps = random_maps()
    copies = [m.clone() for m in maps]
    self_attention_constraint(maps)
    assert all(torch.equal(m, c) for m, c in zip(maps, copies, strict=True))
    with pytest.raises(ValueError, match="two or more"):
        self_attention_constraint(maps[:1])
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        self_attention_constraint([maps[0], torch.rand(3, 5)])
    with pytest.raises(ValueError, match="same images"):
        self_attention_constraint([maps[0], maps[1][:2]])


# Quadruplet


def batch(ids=4, each=3, d=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ids * each, d, generator=generator), torch.arange(ids).repeat_interleave(each)


def test_quadruplet_by_hand():
    """On a line: a pair at 0 and 1, a third identity at 3, a fourth at 7."""
    features, labels = torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([4, 4, 9, 2])
    # Anchor 0: far 1, near 3, x_h at 4 from x_k: both hinges are 0. Anchor 1: far 1, near 2, other 4.
    assert quadruplet_hard_loss(features, labels).item() == 0
    # margins 2.5 and 3.5: (1 - 3 + 2.5) + (1 - 4 + 3.5) = 1; (1 - 2 + 2.5) + 0.5 = 2
    assert quadruplet_hard_loss(features, labels, margin1=2.5, margin2=3.5).item() == pytest.approx(1.5)


@pytest.mark.parametrize("ids, each, seed", [(3, 2, 0), (4, 3, 1), (6, 4, 2), (9, 1, 3), (18, 4, 4)])
def test_quadruplet_equals_the_loop(ids, each, seed):
    features, labels = batch(ids, each, seed=seed)
    for margins in ((0.5, 0.2), (0.0, 0.0), (3.0, 2.0)):
        loss = quadruplet_hard_loss(features.double(), labels, margin1=margins[0], margin2=margins[1])
        assert loss.item() == pytest.approx(naive_quadruplet(features, labels, *margins), rel=1e-9, abs=1e-9)


def test_quadruplet_without_its_second_hinge_is_the_batch_hard_triplet():
    features, labels = batch()
    features = features * 3
    loss = quadruplet_hard_loss(features, labels, margin2=-1e6)
    torch.testing.assert_close(loss, batch_hard_triplet_loss(features, labels, margin=0.5))


def test_uneven_identities_and_a_lonely_anchor():
    features, _ = batch(4, 2)
    labels = torch.tensor([5, 5, 5, 1, 1, 8, 3, 3])  # 8 has no positive
    assert quadruplet_hard_loss(features, labels).item() == pytest.approx(naive_quadruplet(features, labels))


def test_order_and_names_of_identities_do_not_matter():
    features, labels = batch(5, 3)
    loss = quadruplet_hard_loss(features, labels)
    order = torch.randperm(15, generator=torch.Generator().manual_seed(1))
    names = torch.tensor([70, -3, 12, 0, 999])
    torch.testing.assert_close(quadruplet_hard_loss(features[order], names[labels[order]]), loss)


def test_quadruplet_gradcheck():
    features, labels = batch(3, 2, 4)
    features = features.double().requires_grad_()
    function = lambda x: quadruplet_hard_loss(x, labels, margin1=2.0, margin2=2.0)  # noqa: E731
    assert torch.autograd.gradcheck(function, (features,))


def test_copies_of_an_image_and_equal_features_have_finite_gradients():
    features, labels = batch()
    features[1] = features[0]
    for values in (features, torch.zeros_like(features), features.half()):
        values = values.clone().requires_grad_()
        loss = quadruplet_hard_loss(values, labels)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(values.grad).all()
    assert quadruplet_hard_loss(torch.zeros(6, 2), torch.arange(6) // 2).item() == pytest.approx(0.7)


def test_no_positive_gives_zero_with_its_graph():
    features = torch.randn(5, 3, requires_grad=True)
    loss = quadruplet_hard_loss(features, torch.arange(5))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(features.grad, torch.zeros_like(features))


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [7, 7, 7, 7], []])
def test_fewer_than_three_identities_are_an_error(labels):
    with pytest.raises(
        DataError, match=r"needs 3 identities.*has \d.*larger batches .*in a config: SOLVER\.IMS_PER_BATCH"
    ):
        quadruplet_hard_loss(torch.randn(len(labels), 3), torch.tensor(labels, dtype=torch.long))


def test_labels_have_to_fit():
    with pytest.raises(ValueError, match="as many labels"):
        quadruplet_hard_loss(torch.randn(4, 3), torch.arange(5))


def test_modules_are_the_functions():
    features, labels = batch()
    assert torch.equal(
        QuadrupletHardLoss(1.0, 0.3)(features, labels),
        quadruplet_hard_loss(features, labels, margin1=1.0, margin2=0.3),
    )
    alone = QuadrupletHardLoss(gather=True)(features, labels)
    assert torch.equal(alone, quadruplet_hard_loss(features, labels)), "one process has nothing to gather"
    maps = random_maps()
    assert torch.equal(SelfAttentionConstraint()(maps), self_attention_constraint(maps))
    assert {"QuadrupletHardLoss", "SelfAttentionConstraint"} <= set(LOSSES)


def test_options_come_from_the_config():
    cfg = load_config("", ["MODEL.LOSSES.QUADRUPLET.MARGIN1", "0.7", "MODEL.LOSSES.SAC.LAYERS", "('a', 'b')"])
    loss = QuadrupletHardLoss.from_config(cfg)
    assert (loss.margin1, loss.margin2) == (0.7, 0.2)
    assert SelfAttentionConstraint.from_config(cfg).layers == ("a", "b")


def test_a_sampler_of_two_identities_is_refused_before_training():
    opts = ["DATALOADER.SAMPLER_TRAIN", "NaiveIdentitySampler", "SOLVER.IMS_PER_BATCH", "8"]
    with pytest.raises(ConfigError, match=r"NUM_INSTANCE 4.*2 identities"):
        QuadrupletHardLoss.from_config(load_config("", opts))


@pytest.mark.parametrize(("labels", "number"), [([], 0), ([5], 1), ([5, 5, 5], 1), ([2, 7, 2, -1], 3)])
def test_identities_are_counted_where_the_labels_are(labels, number):
    assert _identities(torch.tensor(labels, dtype=torch.long)) == number


def test_a_batch_of_a_gpu_with_too_few_identities_gives_nan(monkeypatch):
    """To raise, the GPU would be waited for in each step; the trainer stops where a loss is not finite."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda tensor: True))
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert quadruplet_hard_loss(features, torch.arange(6) // 3).isnan()
    assert quadruplet_hard_loss(features, torch.arange(6) // 2).isfinite()
