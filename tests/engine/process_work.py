"""What the processes of test_processes.py do; importable, as a new process needs it."""

import math
import os
import signal
import time

import torch
import torch.distributed as dist
from fastreid.data import CommDataset
from fastreid.engine import defaults
from fastreid.utils import comm
from fastreid.utils.events import EventStorage

from fastreid_projects.config import load_config
from fastreid_projects.data.byte_images import ByteBatch
from fastreid_projects.engine.run import run
from fastreid_projects.engine.trainer import Trainer

BATCH, IDS = 12, 6


def fail(args):
    """Rank ``bad_rank`` fails in the way that ``way`` says; the others wait for it, or forever."""
    if dist.get_rank() == args.bad_rank:
        time.sleep(0.2)
        if args.way == "crash":
            raise ZeroDivisionError("nothing to divide by")
        if args.way == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if args.way == "exit":
            raise SystemExit(143)
    if args.hang:
        time.sleep(7200)
    dist.all_reduce(torch.ones(1))
    dist.barrier()


def train(args):
    """Train; with ``poison`` the images of rank 1 are NaN."""
    os.environ["FASTREID_DATASETS"] = args.root
    if getattr(args, "poison", False) and dist.get_rank() == 1:
        read = CommDataset.__getitem__
        CommDataset.__getitem__ = lambda self, index: {
            **(item := read(self, index)),
            "images": ByteBatch.stack([item["images"]]).floats()[0] * math.nan,
        }
    run(load_config(args.config_file, args.opts), args)


def interrupted(args):
    """Train; in the third iteration rank 0 sends ``signum`` to the process that started it, or to all three."""
    step = Trainer.run_step

    def interrupted_step(self):
        if self.iter == 2 and not args.alone:
            os.kill(os.getpid(), args.signum)
        if self.iter == 2 and dist.get_rank() == 0:
            os.kill(args.starter, args.signum)
        step(self)
        if self.iter == 2:
            time.sleep(1)  # for what is passed on to come before the end of the iteration

    Trainer.run_step = interrupted_step
    train(args)


def everything(args):
    """Gradients, training runs and evaluations of one pair of processes; what they found goes to ``args.folder``."""
    os.environ["FASTREID_DATASETS"] = args.root
    for job in args.jobs:
        run(load_config(job.config_file, job.opts), job)
    found = {name: gradients(cfg, comm.get_rank()) for name, cfg in args.models.items()}
    torch.save({"threads": torch.get_num_threads(), "models": found}, f"{args.folder}/{comm.get_rank()}.pt")


def batch(cfg):
    """A batch of the config's size, of random images."""
    height, width = cfg.INPUT.SIZE_TRAIN
    generator = torch.Generator().manual_seed(0)
    return {
        "images": torch.rand(BATCH, 3, height, width, generator=generator) * 255,
        "targets": torch.arange(BATCH) // 2 % IDS,
        "camids": torch.zeros(BATCH, dtype=torch.long),
        "attributes": torch.randint(0, 2, (BATCH, 26), generator=generator),
        "img_paths": [""] * BATCH,
    }


def build(cfg):
    """The config's model, always from the same weights; with ``FROZEN`` its batch norms use running statistics."""
    torch.manual_seed(0)
    model = Trainer.build_model(cfg.config)
    model.train()
    if cfg.frozen:
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
    return model


def step(model, images, seed):
    """Losses and gradients (None where there is none) of a step."""
    model.zero_grad()
    torch.manual_seed(seed)
    with EventStorage():
        losses = model(images)
    sum(losses.values()).backward()
    model = getattr(model, "module", model)
    gradients = {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
    return {"losses": {k: float(v.detach()) for k, v in losses.items()}, "gradients": gradients}


def gradients(cfg, rank):
    """Two steps of this rank's half of the batch: the second one fails where the first waits for a gradient."""
    model = build(cfg)
    model = defaults.DistributedDataParallel(model, device_ids=[0], broadcast_buffers=False)
    half = {k: v[rank * BATCH // 2 : (rank + 1) * BATCH // 2] for k, v in batch(cfg.config).items()}
    seed = 0 if cfg.frozen else rank
    step(model, half, seed)
    return step(model, half, seed)
