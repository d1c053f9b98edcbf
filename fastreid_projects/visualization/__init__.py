"""Heat maps over images, Grad-CAM, and pages of pictures."""

from fastreid_projects.visualization.heatmap import (
    colour_bar,
    overlay,
    pair_scale,
    photo_data_uri,
    png_data_uri,
    save_png,
)

__all__ = ["colour_bar", "overlay", "pair_scale", "photo_data_uri", "png_data_uri", "save_png"]
