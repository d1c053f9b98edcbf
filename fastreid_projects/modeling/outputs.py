"""What a model returns at evaluation."""

from __future__ import annotations

from fastreid.modeling.heads.clas_head import ClasHead
from torch import nn

from fastreid_projects import contract


def output_kind(model: nn.Module) -> str:
    """Return ``"features"`` or ``"logits"``: the host's ClasHead gives these, an architecture may say so itself."""
    if any(isinstance(module, ClasHead) for module in model.modules()):
        return "logits"
    return contract.output_kind(model)
