"""Patch of evaluation/evaluator.py: switching to evaluation mode and back."""

from __future__ import annotations

from fastreid.evaluation import evaluator

from fastreid_projects.host_import import rebind
from fastreid_projects.modeling.modes import evaluating


def patch_inference_context() -> None:
    """Put each module back in its previous mode.

    evaluator.py:173-176 puts all modules in training mode, including frozen ones, and none after an error.
    """
    rebind(evaluator.inference_context, evaluating)
