"""Batches by number: the same images and the same random numbers, wherever training starts and whoever loads."""

import itertools
import random

import numpy as np
import pytest
import torch
from fastreid.data.samplers import ImbalancedDatasetSampler, NaiveIdentitySampler, TrainingSampler
from torch.utils.data import BatchSampler, Dataset

from fastreid_projects.data.batches import NumberedBatches, numbered
from fastreid_projects.data.device_loader import DeviceLoader
from fastreid_projects.data.set_sampler import SetSampler

ITEMS = [("a.jpg", number % 6, number % 2) for number in range(24)]
SAMPLERS = {
    "TrainingSampler": lambda: TrainingSampler(len(ITEMS), seed=3),
    "NaiveIdentitySampler": lambda: NaiveIdentitySampler(ITEMS, 8, 2, seed=3),
    "SetSampler": lambda: SetSampler(ITEMS, [item[1] % 2 for item in ITEMS], 8, 2, seed=3),
    "ImbalancedDatasetSampler": lambda: ImbalancedDatasetSampler(ITEMS, seed=3),
}


class Draws(Dataset):
    """Its items are what augmentation would draw."""

    def __len__(self):
        return len(ITEMS)

    def __getitem__(self, index):
        return torch.tensor([index, random.random(), np.random.rand(), torch.rand(1).item()]).double()


def loader(name, workers=0, start=0):
    batches = BatchSampler(SAMPLERS[name](), 8, drop_last=True)
    made = DeviceLoader(
        dataset=Draws(), batch_sampler=batches, num_workers=workers, device=torch.device("cpu")
    )
    made.batch_sampler.start = start
    return made


def first(made, number):
    return list(itertools.islice(iter(made), number))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_later_start_goes_on_with_the_same_batches(name):
    whole = first(loader(name), 7)
    assert not torch.equal(whole[0], whole[1])
    np.random.seed(99)
    torch.manual_seed(99)
    for batch, again in zip(whole[4:], first(loader(name, start=4), 3), strict=True):
        assert torch.equal(batch, again)


def test_any_number_of_workers_draws_the_same():
    alone = first(loader("NaiveIdentitySampler"), 4)
    for batch, again in zip(alone, first(loader("NaiveIdentitySampler", workers=2), 4), strict=True):
        assert torch.equal(batch, again)


def test_the_generators_of_the_training_are_left_alone():
    made = iter(loader("ImbalancedDatasetSampler"))
    next(made)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(5)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(5)
    next(made)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_a_sampler_without_a_seed_gets_one_and_a_tests_batches_none():
    class Forever:
        def __iter__(self):
            return itertools.cycle(torch.randperm(24).tolist())

    batches = numbered(BatchSampler(Forever(), 8, drop_last=True))
    batches.seed = 11
    one, two = (next(iter(batches)).indices for _ in range(2))
    assert one == two
    test = BatchSampler(range(24), 8, drop_last=False)
    assert numbered(test) is test
    assert isinstance(batches, NumberedBatches)
