"""Heat maps and signed maps over images, Grad-CAM, and pages of pictures."""

from fastreid_projects.visualization.heatmap import (
    colour_bar,
    overlay,
    pair_scale,
    photo_data_uri,
    png_data_uri,
    save_png,
)
from fastreid_projects.visualization.signed import signed_bar, signed_limit, signed_overlay

__all__ = [
    "colour_bar",
    "overlay",
    "pair_scale",
    "photo_data_uri",
    "png_data_uri",
    "save_png",
    "signed_bar",
    "signed_limit",
    "signed_overlay",
]
