"""Draw the maps of a pair as pictures, all attributes on one scale.

| letter | meaning                                 |
| ------ | --------------------------------------- |
| H, W   | height and width of an image, in pixels |
"""

from __future__ import annotations

from fastreid_projects.visualization.heatmap import Image, attention_layer, overlay, pair_scale
from fastreid_projects.visualization.layers import Layer
from fastreid_projects.visualization.signed import signed_layer, signed_limit, signed_overlay

from .explanation import AttributeContribution, PairExplanation, WholeMaps


def draw_whole(whole: WholeMaps, query: Image, gallery: Image) -> tuple[Image, Image]:
    """Return both images with the map of where the distance comes from, each uint8 (H, W, 3)."""
    limit = whole_limit(whole)
    return (
        signed_overlay(query, whole.query_map, limit=limit),
        signed_overlay(gallery, whole.gallery_map, limit=limit),
    )


def draw_attribute(
    pair: PairExplanation, entry: AttributeContribution, query: Image, gallery: Image
) -> tuple[Image, Image]:
    """Return both images with an attribute's maps, each uint8 (H, W, 3)."""
    low, high = attribute_scale(pair, entry)
    if pair.maps == "attention":
        return (
            overlay(query, entry.query_map, low=low, high=high),
            overlay(gallery, entry.gallery_map, low=low, high=high),
        )
    return (
        signed_overlay(query, entry.query_map, limit=high),
        signed_overlay(gallery, entry.gallery_map, limit=high),
    )


def layer_whole(whole: WholeMaps) -> tuple[Layer, Layer]:
    """Return the maps of :func:`draw_whole` as transparent layers, to lie on the grey photos."""
    limit = whole_limit(whole)
    return signed_layer(whole.query_map, limit=limit), signed_layer(whole.gallery_map, limit=limit)


def layer_attribute(pair: PairExplanation, entry: AttributeContribution) -> tuple[Layer, Layer]:
    """Return the maps of :func:`draw_attribute` as transparent layers, for the grey photos (attention: the photos)."""
    low, high = attribute_scale(pair, entry)
    maps = (entry.query_map, entry.gallery_map)
    if pair.maps == "attention":
        query, gallery = (attention_layer(m, low=low, high=high) for m in maps)
    else:
        query, gallery = (signed_layer(m, limit=high) for m in maps)
    return query, gallery


def whole_limit(whole: WholeMaps) -> float:
    """Return the magnitude that the strongest colours of the distance's maps stand for."""
    return signed_limit(whole.query_map, whole.gallery_map)


def attribute_scale(pair: PairExplanation, entry: AttributeContribution) -> tuple[float, float]:
    """Return the ends of the colour scale of an attribute's maps.

    All contributions of a pair share one scale; attention has one for each attribute, as it is not comparable between
    attributes.
    """
    if pair.maps == "attention":
        return pair_scale(entry.query_map, entry.gallery_map)
    limit = signed_limit(*(m for c in pair.contributions for m in (c.query_map, c.gallery_map)))
    return -limit, limit
