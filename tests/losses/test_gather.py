"""Gathering over processes: two of them are one with the joined batch, in value and in the parameters' gradients."""

import subprocess
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from fastreid_projects.losses import BatchHardTripletLoss
from fastreid_projects.losses.gather import gather_batch

SPLITS = {"equal": (6, 6), "unequal": (4, 8)}


def whole_batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(12, 5, generator=generator), torch.arange(12) % 4


def model():
    torch.manual_seed(1)
    return torch.nn.Linear(5, 3)


def work(rank, folder):
    """One of two processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    for name, split in SPLITS.items():
        start = sum(split[:rank])
        images, labels = (part[start : start + split[rank]] for part in whole_batch())
        net = DistributedDataParallel(model())
        loss = BatchHardTripletLoss(margin=2.0, gather=True)(net(images), labels)
        loss.backward()
        gathered = gather_batch(images.half(), labels)
        result = {"loss": loss.detach(), "grad": net.module.weight.grad, "gathered": gathered}
        torch.save(result, f"{folder}/{name}{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_are_one_with_the_joined_batch(tmp_path):
    started = [subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    images, labels = whole_batch()
    net = model()
    loss = BatchHardTripletLoss(margin=2.0)(net(images), labels)
    loss.backward()
    for name in ("equal0", "equal1", "unequal0", "unequal1"):
        result = torch.load(tmp_path / f"{name}.pt")
        torch.testing.assert_close(result["loss"], loss.detach())
        torch.testing.assert_close(result["grad"], net.weight.grad)
        features, identities = result["gathered"]
        assert torch.equal(features, images.half().float())
        assert torch.equal(identities, labels)


def test_one_process_keeps_what_it_has():
    images, labels = whole_batch()
    features, identities = gather_batch(images, labels)
    assert features is images
    assert identities is labels


if __name__ == "__main__":
    work(int(sys.argv[1]), sys.argv[2])
