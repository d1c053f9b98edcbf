"""AMD's losses are Eq. 3-10 as the specification reads them: per pair in plain Python floats, and by hand."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastreid_projects.amd.decomposition import pairwise_distances
from fastreid_projects.amd.losses import (
    AttributePriorLoss,
    MetricDistillationLoss,
    PairDistances,
    attribute_prior_losses,
    distillation_loss,
    exclusive_attributes,
)
from fastreid_projects.losses.registry import LOSSES


def make_batch(seed=0, n=5, m=6, dtype=torch.float64):
    """Distances d (N, N) and d^k (N, N, M), symmetric with a zero diagonal, and attributes (N, M)."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.rand(n, m, 4, generator=generator, dtype=torch.float64)
    attribute = (features[:, None] - features[None]).norm(dim=3).to(dtype)
    target = attribute.sum(dim=2) * (
        0.8 + 0.4 * torch.rand(n, n, generator=generator, dtype=torch.float64)
    ).to(dtype)
    labels = torch.randint(0, 2, (n, m), generator=generator)
    labels[1] = labels[0]  # one identity: M_E = 0
    if n > 2:
        labels[2] = 1 - labels[0]  # opposite: M_E = M
    return target, attribute, labels


def naive(target, attribute, labels, nu=0.5):
    """L_d, L_p1, L_p2 pair by pair; Eq. 8's two bounds by lambda of Eq. 9, which have to meet.

    The priors treat a pair as if it had only the attributes that are known for both images.
    """
    n = len(labels)
    sums = [0.0, 0.0, 0.0]
    for i, j in itertools.permutations(range(n), 2):
        sums[0] += abs(float(target[i, j]) - sum(x.item() for x in attribute[i, j]))
        known = [k for k in range(labels.shape[1]) if labels[i, k] >= 0 and labels[j, k] >= 0]
        d = [attribute[i, j, k].item() for k in known]
        differ = [int(labels[i, k]) ^ int(labels[j, k]) for k in known]
        m, m_e = len(known), sum(differ)
        if not m:
            continue
        r = (m_e / m) ** nu
        share = [x / sum(d) if sum(d) > 0 else 0.0 for x in d]
        exclusive = [s for s, e in zip(share, differ, strict=True) if e]
        common = [s for s, e in zip(share, differ, strict=True) if not e]
        sums[1] += max(0.0, r - sum(exclusive)) + max(0.0, sum(common) - (1 - r))
        if m_e in (0, m):
            continue
        lam = 0.5 * math.log(r * (m - m_e) / (m_e * (1 - r)))
        b_e = math.exp(-lam) * r / m_e
        b_c = math.exp(lam) * (1 - r) / (m - m_e)
        assert math.isclose(b_e, b_c, rel_tol=1e-12)
        sums[2] += sum(max(0.0, b_e - s) for s in exclusive) + sum(max(0.0, s - b_c) for s in common)
    return [s / (n * (n - 1)) for s in sums]


def all_losses(target, attribute, labels, nu=0.5):
    exclusive, known = exclusive_attributes(labels)
    return distillation_loss(target, attribute), *attribute_prior_losses(attribute, exclusive, known, nu)


@pytest.mark.parametrize("nu", [0.5, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_equal_the_equations_pair_by_pair(seed, nu):
    batch = make_batch(seed)
    result = all_losses(*batch, nu)
    assert [x.item() for x in result] == pytest.approx(naive(*batch, nu), abs=1e-12)


@pytest.mark.parametrize("m", [23, 26])
@pytest.mark.parametrize("nu", [0.5, 0.9])
def test_both_bounds_meet_in_the_closed_form(m, nu):
    """b_e = b_c = sqrt(r (1 - r) / (M_E (M - M_E))) for every M_E that has bounds."""
    for m_e in range(1, m):
        r = (m_e / m) ** nu
        lam = 0.5 * math.log(r * (m - m_e) / (m_e * (1 - r)))
        closed = math.sqrt(r * (1 - r) / (m_e * (m - m_e)))
        assert math.exp(-lam) * r / m_e == pytest.approx(closed)
        assert math.exp(lam) * (1 - r) / (m - m_e) == pytest.approx(closed)


def test_a_toy_by_hand():
    """M = 4, one exclusive attribute: r = 1/2, b = sqrt(1/4 / 3) = 0.288675.

    d^k = (1, 4, 3, 2), the first one exclusive: shares 0.1, 0.4, 0.3, 0.2; target 12.
    L_d = 2; L_p1 = (0.5 - 0.1) + (0.9 - 0.5) = 0.8; L_p2 = 0.188675 + 0.111325 + 0.011325 = 0.311325.
    """
    labels = torch.tensor([[0, 1, 0, 1], [1, 1, 0, 1]])
    attribute = torch.zeros(2, 2, 4)
    attribute[0, 1] = attribute[1, 0] = torch.tensor([1.0, 4.0, 3.0, 2.0])
    target = torch.tensor([[0.0, 12.0], [12.0, 0.0]])
    l_d, l_p1, l_p2 = all_losses(target, attribute, labels)
    assert float(l_d) == pytest.approx(2.0)
    assert float(l_p1) == pytest.approx(0.8)
    assert float(l_p2) == pytest.approx(0.311325, abs=1e-6)
    exclusive, known = exclusive_attributes(labels)
    pairs = PairDistances(target, attribute, exclusive, known)
    assert float(MetricDistillationLoss()(pairs)) == pytest.approx(2.0)
    assert float(AttributePriorLoss()(pairs)) == pytest.approx(10 * 0.8 + 50 * 0.311325, abs=1e-4)
    assert float(AttributePriorLoss(alpha=2.0, beta=0.0)(pairs)) == pytest.approx(1.6)


def test_a_perfect_decomposition_costs_nothing():
    """Exclusive attributes at their bound and more, common ones at theirs and less, summing up to d."""
    labels = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0]])
    attribute = torch.zeros(2, 2, 4, dtype=torch.float64)
    attribute[0, 1] = attribute[1, 0] = torch.tensor([7.0, 1.0, 1.0, 1.0])
    losses = all_losses(attribute.sum(dim=2), attribute, labels)
    assert [x.item() for x in losses] == [0.0, 0.0, 0.0]


def test_the_diagonal_counts_nowhere():
    """d = 0 there by construction; whatever it holds, it is not a pair."""
    target, attribute, labels = make_batch()
    dirty_target, dirty_attribute = target.clone(), attribute.clone()
    dirty_target.fill_diagonal_(99.0)
    dirty_attribute[range(5), range(5)] = 99.0
    clean, dirty = all_losses(target, attribute, labels), all_losses(dirty_target, dirty_attribute, labels)
    assert [x.item() for x in clean] == pytest.approx([x.item() for x in dirty])


def test_identical_and_opposite_vectors_have_no_bound_and_a_finite_first_prior():
    """M_E = 0: r = 0, all may be common. M_E = M: r = 1, all is exclusive. Both cost 0."""
    _, attribute, _ = make_batch()
    for labels in (torch.zeros(2, 6, dtype=torch.int8), torch.tensor([[0] * 6, [1] * 6], dtype=torch.int8)):
        part = attribute[:2, :2].clone().requires_grad_()
        l_d, l_p1, l_p2 = all_losses(part.detach().sum(dim=2) + 1, part, labels)
        assert float(l_d.detach()) == pytest.approx(1.0)
        assert float(l_p1.detach()) == pytest.approx(0.0, abs=1e-12)
        assert float(l_p2.detach()) == 0.0
        (l_p1 + l_p2).backward()
        assert torch.isfinite(part.grad).all()


def test_an_image_without_attributes_counts_in_the_distillation_only():
    """Identities without a row (-1) have no prior: neither exclusive nor common."""
    target, attribute, labels = make_batch()
    labels[3] = -1
    result = all_losses(target, attribute, labels)
    assert [x.item() for x in result] == pytest.approx(naive(target, attribute, labels), abs=1e-12)
    _, known = exclusive_attributes(labels)
    assert not known[3].any()
    assert not known[:, 3].any()
    attribute.requires_grad_()
    sum(all_losses(target, attribute, labels)[1:]).backward()
    assert (attribute.grad[3] == 0).all()
    assert (attribute.grad[:, 3] == 0).all()
    assert (attribute.grad[0, 4] != 0).any()


@pytest.mark.parametrize("seed", range(6))
def test_unknown_attributes_of_single_images_leave_their_pairs(seed):
    """As if each pair had only the attributes known for both images; d^k of the others is only in L_d."""
    target, attribute, labels = make_batch(seed)
    labels[torch.rand(labels.shape, generator=torch.Generator().manual_seed(seed)) < 0.35] = -1
    labels[3] = torch.tensor([-1, -1, 1, -1, -1, -1])  # with most images one attribute is left
    attribute.requires_grad_()
    result = all_losses(target, attribute, labels)
    assert [x.item() for x in result] == pytest.approx(naive(target, attribute.detach(), labels), abs=1e-12)
    sum(result[1:]).backward()
    unknown = (labels[:, None] < 0) | (labels[None] < 0)
    assert unknown.any()
    assert (attribute.grad[unknown] == 0).all()
    assert attribute.grad.abs().sum() > 0


def test_unknown_attributes_are_as_if_they_were_not_there():
    """Two images, the third attribute unknown for one: the loss is that of the other two attributes."""
    labels = torch.tensor([[0, 1, -1, 0], [1, 1, 0, 0]])
    attribute = torch.rand(2, 2, 4, dtype=torch.float64) + 0.1
    kept = [0, 1, 3]
    exclusive, known = exclusive_attributes(labels)
    assert exclusive[0, 1].tolist() == [True, False, False, False]
    assert known[0, 1].tolist() == [True, True, False, True]
    whole = attribute_prior_losses(attribute, exclusive, known)
    fewer = attribute_prior_losses(attribute[..., kept], exclusive[..., kept], known[..., kept])
    assert [x.item() for x in whole] == pytest.approx([x.item() for x in fewer], abs=1e-12)


def test_a_batch_of_unknown_attributes_keeps_its_graph():
    target, attribute, labels = make_batch()
    attribute.requires_grad_()
    l_d, l_p1, l_p2 = all_losses(target, attribute, torch.full_like(labels, -1))
    assert float(l_p1.detach()) == float(l_p2.detach()) == 0.0
    assert float(l_d.detach()) > 0
    (l_p1 + l_p2).backward()
    assert (attribute.grad == 0).all()


def test_a_batch_of_one_image_has_no_pair():
    features = torch.rand(1, 4, 8, requires_grad=True)
    attribute = pairwise_distances(features)
    losses = all_losses(torch.zeros(1, 1), attribute, torch.tensor([[0, 1, 1, 0]]))
    assert [x.item() for x in losses] == [0.0, 0.0, 0.0]
    sum(losses).backward()
    assert (features.grad == 0).all()


def test_duplicates_with_equal_and_unequal_labels():
    """The same picture twice has d = d_hat = 0: no share is defined, none may become NaN."""
    features = torch.rand(4, 5, 8, generator=torch.Generator().manual_seed(0))
    features[1] = features[0]
    features[3] = features[2]
    features.requires_grad_()
    labels = torch.tensor([[0, 1, 0, 1, 0], [0, 1, 0, 1, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 1]])
    attribute = pairwise_distances(features)
    target = pairwise_distances(features.detach().flatten(1))
    assert attribute[0, 1].sum().item() == 0
    losses = all_losses(target, attribute, labels)
    assert [x.item() for x in losses] == pytest.approx(naive(target, attribute, labels), abs=1e-6)
    sum(losses).backward()
    assert torch.isfinite(features.grad).all()
    assert features.grad.abs().max() < 1e3


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_images_and_of_attributes_does_not_matter(seed):
    target, attribute, labels = make_batch(seed)
    generator = torch.Generator().manual_seed(seed)
    images, columns = torch.randperm(5, generator=generator), torch.randperm(6, generator=generator)
    shuffled = (
        target[images][:, images],
        attribute[images][:, images][:, :, columns],
        labels[images][:, columns],
    )
    before, after = all_losses(target, attribute, labels), all_losses(*shuffled)
    assert [x.item() for x in before] == pytest.approx([x.item() for x in after], abs=1e-12)


def test_priors_do_not_depend_on_the_scale_of_the_distances():
    """They depend only on the shares d^k / d_hat."""
    target, attribute, labels = make_batch()
    for scale in (1e-4, 1e4):
        small, large = (
            all_losses(target, attribute, labels)[1:],
            all_losses(target, scale * attribute, labels)[1:],
        )
        assert [x.item() for x in small] == pytest.approx([x.item() for x in large])


@pytest.mark.parametrize("seed", range(3))
def test_gradients_in_float64(seed):
    target, attribute, labels = make_batch(seed)
    attribute = (attribute + 0.1).requires_grad_()  # away from d = 0; hinges are met with probability 0
    target = target.requires_grad_()
    exclusive, known = exclusive_attributes(labels)
    assert torch.autograd.gradcheck(distillation_loss, (target, attribute))
    assert torch.autograd.gradcheck(lambda a: attribute_prior_losses(a, exclusive, known), (attribute,))


def test_gradients_pull_exclusive_attributes_up_and_common_ones_down():
    """M_E / M = 1/4 with even shares: r = 1/2 > 1/4, so that both kinds violate both priors."""
    labels = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0]])
    exclusive, known = exclusive_attributes(labels)
    for part in (0, 1):
        attribute = torch.ones(2, 2, 4, requires_grad=True)
        attribute_prior_losses(attribute, exclusive, known)[part].backward()
        assert (attribute.grad[0, 1, 0] < 0).all()
        assert (attribute.grad[0, 1, 1:].sum() > 0).all()
    attribute = torch.ones(2, 2, 4, requires_grad=True)
    distillation_loss(torch.full((2, 2), 5.0), attribute).backward()
    assert (attribute.grad[0, 1] < 0).all()  # d_hat = 4 is below d = 5: all of them grow


def test_gradients_reach_both_kinds_of_attributes_through_the_features():
    generator = torch.Generator().manual_seed(3)
    features = torch.rand(4, 6, 8, generator=generator).requires_grad_()
    labels = torch.tensor([[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]])
    sum(all_losses(torch.zeros(4, 4), pairwise_distances(features), labels)).backward()
    assert (features.grad.abs().sum(dim=2) > 0).all()


def test_descent_meets_the_bounds():
    """Distances that are free to move reach d, the exclusive total r and every bound of Eq. 8."""
    labels = torch.tensor([[0, 0, 0, 0, 0], [1, 1, 0, 0, 0]])
    exclusive, known = exclusive_attributes(labels)
    raw = torch.zeros(2, 2, 5, requires_grad=True)
    target = torch.full((2, 2), 3.0)
    optimizer = torch.optim.Adam([raw], lr=0.02)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.02 * 0.99**step
        attribute = raw.exp()
        first, second = attribute_prior_losses(attribute, exclusive, known)
        optimizer.zero_grad()
        (distillation_loss(target, attribute) + 10 * first + 50 * second).backward()
        optimizer.step()
    shares = raw.detach().exp()[0, 1] / raw.detach().exp()[0, 1].sum()
    r = (2 / 5) ** 0.5
    bound = math.sqrt(r * (1 - r) / 6)
    assert float(raw.detach().exp()[0, 1].sum()) == pytest.approx(3.0, abs=0.02)
    assert float(shares[:2].sum()) >= r - 0.01
    assert (shares[:2] >= bound - 0.01).all()
    assert (shares[2:] <= bound + 0.01).all()


@given(
    st.integers(1, 5),
    st.integers(1, 7),
    st.integers(0, 10_000),
    st.sampled_from([0.0, 1e-30, 1e-12, 1e-3, 1.0, 1e6]),
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
)
@settings(max_examples=150, deadline=None)
def test_always_finite_with_finite_gradients(n, m, seed, scale, dtype):
    """Any labelling (-1 included), any share of zero distances, any scale, M = 1 included."""
    generator = torch.Generator().manual_seed(seed)
    scale = min(scale, 1e3) if dtype == torch.float16 else scale
    attribute = (scale * torch.rand(n, n, m, generator=generator)).to(dtype)
    attribute[torch.rand(n, n, generator=generator) < 0.3] = 0
    attribute[torch.rand(n, n, m, generator=generator) < 0.3] = 0
    target = (scale * torch.rand(n, n, generator=generator)).to(dtype)
    labels = torch.randint(-1 if seed % 3 == 0 else 0, 2, (n, m), generator=generator)
    attribute.requires_grad_(dtype not in (torch.float16, torch.bfloat16))
    losses = all_losses(target, attribute, labels)
    assert all(torch.isfinite(loss) and loss >= 0 for loss in losses)
    if attribute.requires_grad:
        sum(losses).backward()
        assert torch.isfinite(attribute.grad).all()


def test_exclusive_attributes_are_the_exclusive_or():
    labels = torch.tensor([[0, 1, 1], [1, 1, 0], [-1, -1, -1]], dtype=torch.int8)
    exclusive, known = exclusive_attributes(labels)
    assert exclusive.dtype == known.dtype == torch.bool
    assert exclusive[0, 1].tolist() == [True, False, True]
    assert exclusive[1, 0].tolist() == [True, False, True]
    assert not exclusive[0, 0].any()
    assert known.all(dim=2).tolist() == [[True, True, False], [True, True, False], [False, False, False]]
    assert not exclusive[2].any(), "what is not known is not exclusive"


def test_both_are_registered_and_read_their_options():
    assert LOSSES["MetricDistillationLoss"] is MetricDistillationLoss
    assert LOSSES["AttributePriorLoss"] is AttributePriorLoss
    plugins = pytest.importorskip("fastreid_projects.plugins")
    cfg = plugins.get_cfg()
    loss = AttributePriorLoss.from_config(cfg)
    assert (loss.alpha, loss.beta, loss.nu) == (10.0, 50.0, 0.5)
    cfg.MODEL.AMD.ALPHA, cfg.MODEL.AMD.BETA, cfg.MODEL.AMD.NU = 1.0, 2.0, 0.7
    assert AttributePriorLoss.from_config(cfg).extra_repr() == "alpha=1.0, beta=2.0, nu=0.7"
    assert isinstance(MetricDistillationLoss.from_config(cfg), MetricDistillationLoss)
