"""Explain pairs: how far apart a model puts two images, which attributes make up that distance, and where it arises."""

from .answer import Answer, AttributeWord
from .explainer import Explainer, PlainExplainer, build_explainer, explained_config
from .explanation import AttributeContribution, PairExplanation, WholeMaps
from .page import report_as_json, write_report
from .pairs import Pair

__all__ = [
    "Answer",
    "AttributeContribution",
    "AttributeWord",
    "Explainer",
    "Pair",
    "PairExplanation",
    "PlainExplainer",
    "WholeMaps",
    "build_explainer",
    "explained_config",
    "report_as_json",
    "write_report",
]
