"""Draw an image again with one attribute changed, so that it is known what an explanation has to name.

| letter | meaning                            |
| ------ | ---------------------------------- |
| H, W   | height and width of an image       |
| M      | number of attributes, 26           |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastreid_projects.data.attributes import DEMO
from fastreid_projects.data.demo.draw import draw_person
from fastreid_projects.data.demo.person import LOWER, UPPER, Person
from fastreid_projects.data.demo.plan import DemoSpec, Frame, find_frame

# A change of a smaller share of the image is not visible, e.g. the backpack of somebody who faces the camera.
_SEEN = 0.01
_ALTERED = 24  # of 255: more than blur and JPEG spread to neighbouring pixels


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """An image, and the same image with one attribute changed.

    Attributes:
        path: the drawn image that was changed.
        image: that image, RGB uint8 (H, W, 3).
        changed: the same person, pose, scene and noise with one attribute changed.
        attributes: positions of the attributes that differ: two for a colour, as it replaces another colour.
    """

    path: str
    image: np.ndarray
    changed: np.ndarray
    attributes: tuple[int, ...]


def counterfactuals(
    spec: DemoSpec, paths: Sequence[str], number: int, seed: int = 0
) -> Iterator[Counterfactual]:
    """Yield drawn images with one attribute changed, all attributes about equally often.

    Args:
        spec: the dataset that the images belong to.
        paths: the images to choose from.
        number: maximum number of cases; invisible changes are skipped.
        seed: seed of the choice.

    Yields:
        Cases in the order in which the images are chosen.

    Raises:
        DataError: an image does not belong to the dataset.
    """
    rng = np.random.default_rng([seed, 11])
    names = rng.permutation(np.array(DEMO.names))
    found = 0
    for turn, row in enumerate(rng.permutation(len(paths))):
        if found == number:
            return
        frame = find_frame(spec, Path(paths[row]))
        if frame.person is None:
            continue
        case = _change(str(paths[row]), frame, frame.person, str(names[turn % len(names)]), rng)
        if case is not None:
            found += 1
            yield case


def _change(
    path: str, frame: Frame, person: Person, name: str, rng: np.random.Generator
) -> Counterfactual | None:
    other = _flip(person, name, rng)
    image, _ = draw_person(person, frame.shot)
    changed, _ = draw_person(other, frame.shot)
    altered = np.abs(image.astype(np.int16) - changed).max(axis=2) > _ALTERED
    differing = np.flatnonzero(np.array(person.attributes) != np.array(other.attributes))
    if altered.mean() < _SEEN:
        return None
    return Counterfactual(path, image, changed, tuple(int(k) for k in differing))


def _flip(person: Person, name: str, rng: np.random.Generator) -> Person:
    """Return the person with the other value; a colour that is switched off is replaced by another of the garment."""
    garment = next((group for group in (UPPER, LOWER) if name in group), None)
    if garment is not None and person.has(name):
        return person.with_attribute(str(rng.choice([other for other in garment if other != name])), 1)
    return person.with_attribute(name, 0 if person.has(name) else 1)
