"""The exponent of a frozen generalised mean is read once, and again when it was written."""

import torch
from fastreid.layers.pooling import GeneralizedMeanPooling, GeneralizedMeanPoolingP
from torch.utils._python_dispatch import TorchDispatchMode

from fastreid_projects.visualization.contributions.pooling import pooling_of


class Reads(TorchDispatchMode):
    """Counts how often a tensor's number is asked for, which on a GPU waits for it."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def exponents(layer, times):
    with Reads() as reads:
        return {pooling_of(layer).p for _ in range(times)}, reads.count


def test_a_frozen_exponent_is_read_once_and_after_each_change():
    layer = GeneralizedMeanPoolingP(3.0).requires_grad_(False)
    assert exponents(layer, 3) == ({3.0}, 1)
    layer.load_state_dict({"p": torch.tensor([4.0])})
    assert exponents(layer, 3) == ({4.0}, 1)
    layer.load_state_dict({"p": torch.tensor([5.0])}, assign=True)
    layer.requires_grad_(False)
    assert exponents(layer, 3) == ({5.0}, 1)


def test_a_trained_exponent_is_read_each_time():
    layer = GeneralizedMeanPoolingP(3.0)
    assert exponents(layer, 3) == ({3.0}, 3)


def test_a_plain_number_is_no_tensor():
    assert exponents(GeneralizedMeanPooling(2.5), 3) == ({2.5}, 0)
