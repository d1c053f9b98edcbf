"""The synthetic demo set: people drawn by a program, in Market-1501's layout, with attributes and pixel masks.

:mod:`~fastreid_projects.data.demo.dataset` registers it with the host; nothing else here needs the host.
"""

from fastreid_projects.data.demo.build import ensure_drawn
from fastreid_projects.data.demo.draw import draw_person
from fastreid_projects.data.demo.figure import PARTS
from fastreid_projects.data.demo.masks import DemoMasks, attribute_masks, load_masks
from fastreid_projects.data.demo.person import Details, Person
from fastreid_projects.data.demo.plan import SPECS, DemoSpec, Frame, find_frame, plan_dataset
from fastreid_projects.data.demo.shot import Camera, Shot

__all__ = [
    "PARTS",
    "SPECS",
    "Camera",
    "DemoMasks",
    "DemoSpec",
    "Details",
    "Frame",
    "Person",
    "Shot",
    "attribute_masks",
    "draw_person",
    "ensure_drawn",
    "find_frame",
    "load_masks",
    "plan_dataset",
]
