"""Where a distance comes from: a signed share for every cell of both images, which add up to the distance."""

from fastreid_projects.visualization.contributions.distance import DistanceExplainer, DistanceMaps
from fastreid_projects.visualization.contributions.maps import PairMaps, pair_maps, total_maps

__all__ = ["DistanceExplainer", "DistanceMaps", "PairMaps", "pair_maps", "total_maps"]
