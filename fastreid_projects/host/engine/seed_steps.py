"""Random numbers of each training step, which depend on the number of the step."""

from __future__ import annotations

import torch
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm

from fastreid_projects.data.generators import STEP, seed_two


class SeedSteps(HookBase):
    """Seed all generators before each step from the run's seed, the process and the iteration."""

    def before_step(self) -> None:
        """Seed the generators, including those of CUDA."""
        trainer = self.trainer
        torch.manual_seed(seed_two(trainer.progress.seed, STEP, comm.get_rank(), trainer.iter))
