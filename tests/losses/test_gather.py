"""Gathering over processes: two of them are one with the joined batch, in value and in the parameters' gradients."""

import datetime
import functools
import subprocess
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from fastreid_projects.fidi.contrastive import BatchHardContrastiveLoss
from fastreid_projects.fidi.losses import FIDILoss
from fastreid_projects.losses import BatchHardTripletLoss
from fastreid_projects.losses.gather import gather_batch

LOSSES = {
    "triplet": functools.partial(BatchHardTripletLoss, margin=2.0),
    "fidi": FIDILoss,
    "contrastive": functools.partial(BatchHardContrastiveLoss, margin=2.0),
}
SPLITS = {"equal": (6, 6), "unequal": (4, 8)}


def whole_batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(12, 5, generator=generator), torch.arange(12) % 4


def model():
    torch.manual_seed(1)
    return torch.nn.Linear(5, 3)


def work(rank, folder):
    """One of two processes; models are gone before their group is."""
    torch.set_num_threads(1)
    limit = datetime.timedelta(minutes=20)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=limit
    )
    steps = {
        (loss, name): step(rank, split, LOSSES[loss]) for loss in LOSSES for name, split in SPLITS.items()
    }
    torch.save(steps, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def step(rank, split, make_loss):
    """A step on this process's part of the batch: loss, gradient, and what was gathered."""
    start = sum(split[:rank])
    images, labels = (part[start : start + split[rank]] for part in whole_batch())
    net = DistributedDataParallel(model())
    loss = make_loss(gather=True)(net(images), labels)
    loss.backward()
    gathered = gather_batch(images.half(), labels)
    return {"loss": loss.detach(), "grad": net.module.weight.grad, "gathered": gathered}


def test_two_processes_are_one_with_the_joined_batch(tmp_path):
    command = [sys.executable, __file__]
    started = [
        subprocess.Popen([*command, str(rank), str(tmp_path)], stderr=subprocess.PIPE) for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=900)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], b"".join(said).decode()
    images, labels = whole_batch()
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for loss_name, make_loss in LOSSES.items():
        net = model()
        loss = make_loss()(net(images), labels)
        loss.backward()
        for result in (steps[loss_name, split] for steps in results for split in SPLITS):
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
