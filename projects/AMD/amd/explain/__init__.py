"""Explanations of pairs: how far apart a model puts two images, which attributes make it up, and where."""

from .explainer import Explainer, Pair, explained_config, to_pil
from .explanation import AttributeContribution, PairExplanation
from .page import report_as_json, write_report

__all__ = [
    "AttributeContribution",
    "Explainer",
    "Pair",
    "PairExplanation",
    "explained_config",
    "report_as_json",
    "to_pil",
    "write_report",
]
