"""The kind of output that a model returns in evaluation."""

from __future__ import annotations

from fastreid.modeling.heads.clas_head import ClasHead
from torch import nn

from fastreid_projects import contract


def output_kind(model: nn.Module) -> str:
    """Return ``"features"`` or ``"logits"``; logits come from the host's ClasHead or an architecture that says so."""
    if any(isinstance(module, ClasHead) for module in model.modules()):
        return "logits"
    return contract.output_kind(model)
