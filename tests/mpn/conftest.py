"""A small MPN head, and batches for it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import fastreid_projects  # noqa: F401
from fastreid_projects.mpn.heads import MPNHead
from fastreid_projects.mpn.regions import Regions


@pytest.fixture
def make_head() -> Callable[..., MPNHead]:
    """A head of 3 parts, 20 -> 16 channels, 5 classes, with weights as after some training."""

    def make(**options: Any) -> MPNHead:
        torch.manual_seed(0)
        given = {"feat_dim": 20, "num_classes": 5, "parts": 3, "width": 16, "reduction": 4, **options}
        head = MPNHead(**given)
        with torch.no_grad():
            for name, tensor in [*head.named_parameters(), *head.named_buffers()]:
                if name.endswith("running_var"):
                    tensor.uniform_(0.5, 1.5)
                elif tensor.dim() == 1:
                    tensor.normal_(0, 0.7)  # some scales of the norms are negative
        return head.double()

    return make


@pytest.fixture
def maps() -> torch.Tensor:
    """F, (4, 20, 12, 4)."""
    return torch.randn(4, 20, 12, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def regions() -> Regions:
    """Four images: whole, cut above, cut to a few rows, one row; with holes in the masks."""
    mask = (torch.rand(4, 12, 4, generator=torch.Generator().manual_seed(2)) > 0.3).float()
    top, bottom = torch.tensor([0, 2, 5, 11]), torch.tensor([12, 12, 9, 12])
    return Regions(mask, top, bottom, torch.ones(4, dtype=torch.bool))
