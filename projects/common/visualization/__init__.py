"""Heat maps over images, and the report that explains the distance of image pairs."""

from fastreid_projects.visualization.explanation import AttributeContribution, PairExplanation
from fastreid_projects.visualization.heatmap import (
    colour_bar,
    overlay,
    pair_scale,
    photo_data_uri,
    png_data_uri,
    save_png,
)
from fastreid_projects.visualization.report import report_as_json, write_report

__all__ = [
    "AttributeContribution",
    "PairExplanation",
    "colour_bar",
    "overlay",
    "pair_scale",
    "photo_data_uri",
    "png_data_uri",
    "report_as_json",
    "save_png",
    "write_report",
]
