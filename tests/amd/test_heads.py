"""PePU is Eq. 2, finite and positive everywhere; the head has the paper's layers and nothing else."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fastreid_projects.amd.heads import FORMS, AttributeDecompositionHead, pepu
from fastreid_projects.amd.reference import attention_plain

EXTREMES = [0.0, -0.0, 1e-30, -1e-30, 1e-4, -1e-4, 1.0, -1.0, 80.0, -80.0, -80.1, 1e4, -1e4, 3e38, -3e38]


def equation_2(x, kappa, tau):
    return kappa * (x + 1) ** tau if x > 0 else kappa * math.exp(x)


@given(st.floats(-60, 1e4), st.sampled_from([1 / 26, 1 / 23, 0.5]), st.sampled_from([0.5, 0.1, 0.9]))
def test_is_the_equation(x, kappa, tau):
    value = pepu(torch.tensor(x, dtype=torch.float32), kappa, tau)
    assert float(value) == pytest.approx(equation_2(float(torch.tensor(x)), kappa, tau), rel=1e-5)


def test_is_continuous_and_increasing():
    """Both branches give kappa at 0; the slope falls from kappa to kappa tau there."""
    x = torch.tensor([-1e-3, -1e-6, 0.0, 1e-6, 1e-3], requires_grad=True)
    y = pepu(x, 1 / 26)
    torch.testing.assert_close(y, torch.full((5,), 1 / 26), atol=1e-4, rtol=0)
    assert (y.diff() >= 0).all()
    y.sum().backward()
    expected = torch.tensor([1.0, 1.0, 1.0, 0.5, 0.5]) / 26
    torch.testing.assert_close(x.grad, expected, atol=1e-4, rtol=1e-2)
    assert (pepu(torch.linspace(-79, 1e3, 5000), 1 / 26).diff() > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("m", [1, 26, 1000])
def test_is_strictly_positive_and_finite_with_a_finite_gradient(dtype, m):
    """The branch that is not taken must not leak: (x + 1)^-0.5 is NaN below -1, e^x is inf above 88."""
    x = (
        torch.tensor(EXTREMES, dtype=torch.float64)
        .clamp(torch.finfo(dtype).min, torch.finfo(dtype).max)
        .to(dtype)
    )
    x.requires_grad_()
    y = pepu(x, 1 / m)
    assert y.dtype == torch.float32
    assert (y > 0).all()
    assert torch.isfinite(y).all()
    assert (y >= torch.finfo(torch.float32).tiny).all()  # no subnormal, which a GPU may flush to 0
    y.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert (x.grad >= 0).all()


def test_gradient_is_right_on_both_sides():
    x = torch.tensor([-5.0, -0.5, 0.5, 30.0], requires_grad=True)
    pepu(x, 0.25, 0.5).sum().backward()
    exact = [0.25 * math.exp(v) if v <= 0 else 0.125 * (v + 1) ** -0.5 for v in x.tolist()]
    torch.testing.assert_close(x.grad, torch.tensor(exact))


def test_autocast_does_not_reach_it():
    x = torch.randn(100) * 5
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = pepu(x, 1 / 26)
    assert torch.equal(inside, pepu(x, 1 / 26))


@pytest.mark.parametrize(("channels", "m"), [(2048, 26), (512, 23), (64, 1)])
def test_head_is_conv3x3_to_an_eighth_then_conv1x1_to_m(channels, m):
    """Sec. 3.2: a (C/8) x 3 x 3 and an M x 1 x 1 convolution, PePU with kappa = 1/M and tau = 0.5."""
    head = AttributeDecompositionHead(in_channels=channels, num_attributes=m)
    first, second = [module for module in head.modules() if isinstance(module, nn.Conv2d)]
    hidden = channels // 8
    assert first.weight.shape == (hidden, channels, 3, 3)
    assert second.weight.shape == (m, hidden, 1, 1)
    expected = hidden * channels * 9 + hidden + m * hidden + m
    assert sum(p.numel() for p in head.parameters()) == expected
    assert head.kappa == pytest.approx(1 / m)
    assert head.tau == 0.5


def test_head_keeps_the_maps_size_and_starts_near_kappa():
    """Fresh weights give attention about 1/M, so that sum_k d^k starts near d."""
    torch.manual_seed(0)
    head = AttributeDecompositionHead(in_channels=64, num_attributes=26)
    attention = head(torch.rand(3, 64, 16, 8))
    assert attention.shape == (3, 26, 16, 8)
    assert attention.dtype == torch.float32
    assert (attention > 0).all()
    assert 0.3 / 26 < float(attention.detach().mean()) < 3 / 26


@pytest.mark.parametrize(("channels", "m"), [(64, 26), (32, 1)])
def test_one_convolution_is_equal_to_the_two(channels, m):
    torch.manual_seed(1)
    head = AttributeDecompositionHead(in_channels=channels, num_attributes=m, bias=-0.5).double()
    nn.init.normal_(head.reduce.bias)
    features = torch.randn(3, channels, 6, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, m, 6, 5)
    found = []
    for way in (head, partial(attention_plain, head)):
        attention = way(features)
        gradients = torch.autograd.grad((attention * weights).sum(), (features, *head.parameters()))
        found.append((attention, *gradients))
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)


def test_head_under_autocast_gives_float32_and_finite_gradients():
    head = AttributeDecompositionHead(in_channels=64, num_attributes=5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attention = head(100 * torch.randn(2, 64, 4, 4))
    assert attention.dtype == torch.float32
    assert (attention > 0).all()
    attention.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())


def test_head_reads_its_options_from_the_config():
    plugins = pytest.importorskip("fastreid_projects.plugins")
    cfg = plugins.get_cfg()
    head = AttributeDecompositionHead(cfg, in_channels=64, num_attributes=26)
    assert head.kappa == pytest.approx(1 / 26)
    cfg.MODEL.AMD.REDUCTION, cfg.MODEL.AMD.KAPPA, cfg.MODEL.AMD.TAU = 16, 0.2, 0.3
    head = AttributeDecompositionHead(cfg, in_channels=64, num_attributes=26)
    assert head.reduce.out_channels == 4
    assert (head.kappa, head.tau) == (0.2, 0.3)


def test_head_is_registered_under_its_name():
    heads = pytest.importorskip("fastreid.modeling.heads")
    assert heads.REID_HEADS_REGISTRY.get("AttributeDecompositionHead") is AttributeDecompositionHead


def test_of_shapes_alone_every_map_has_the_same_mean():
    attention = pepu(torch.randn(2, 5, 4, 3) * 3, 0.2)
    even = FORMS["shape"](attention, 0.2)
    torch.testing.assert_close(even.mean(dim=(2, 3)), torch.full((2, 5), 0.2))
    torch.testing.assert_close(even / even[..., :1, :1], attention / attention[..., :1, :1])
    torch.testing.assert_close(FORMS["shape"](attention * torch.rand(2, 5, 1, 1).add(0.1), 0.2), even)


def test_shared_positions_add_up_to_one():
    attention = pepu(torch.randn(2, 5, 4, 3) * 3, 0.2)
    shared = FORMS["shared"](attention, 0.2)
    torch.testing.assert_close(shared.sum(dim=1), torch.ones(2, 4, 3))
    torch.testing.assert_close(shared * attention.sum(dim=1, keepdim=True), attention)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_is_positive_and_learns(form):
    head = AttributeDecompositionHead(in_channels=16, num_attributes=3, form=form)
    features = torch.randn(2, 16, 4, 2, requires_grad=True)
    for scale in (1.0, 1e4):
        attention = head(features * scale)
        assert attention.isfinite().all()
        assert (attention > 0).all()
    head(features)[:, 0, 0].sum().backward()
    assert features.grad.isfinite().all()
    assert features.grad.abs().sum() > 0
