"""Plan which images a synthetic dataset consists of, from its specification, before anything is drawn."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from fastreid_projects.data.demo.person import Person
from fastreid_projects.data.demo.population import sample_people
from fastreid_projects.data.demo.shot import CAMERAS, Pass, Shot, sample_pass, sample_shot
from fastreid_projects.errors import DataError

VERSION = 2
"""The version of the drawing, raised whenever it changes; folders of an older version are drawn again."""
SPLITS = ("bounding_box_train", "query", "bounding_box_test")


@dataclass(frozen=True)
class DemoSpec:
    """The specification of a synthetic dataset.

    Attributes:
        name: folder of the dataset.
        domain: ``"A"``, or ``"B"`` with other cameras, style and attribute frequencies.
        train_ids: number of identities in train.
        test_ids: number of identities in query and gallery, none of them in train.
        distractors: gallery images of identity 0: strangers and empty boxes.
        junk: gallery images of identity -1: test identities in bad boxes.
        seed: seed of everything.
        misalignment: factor of how far the boxes of people are off.
    """

    name: str = "DemoReID"
    domain: str = "A"
    train_ids: int = 136
    test_ids: int = 60
    distractors: int = 300
    junk: int = 110
    seed: int = 1501
    misalignment: float = 1.0

    def marker(self) -> dict[str, object]:
        """Return the description of the dataset that a finished folder contains."""
        facts = asdict(self)
        if self.misalignment == 1:  # left out at its default, so that older folders stay valid
            del facts["misalignment"]
        return {"version": VERSION, **facts}


SPECS: dict[str, DemoSpec] = {
    "A": DemoSpec(),
    "M": DemoSpec("DemoReID-M", misalignment=2.0),
    "P": DemoSpec("DemoReID-P", train_ids=1000, test_ids=40, distractors=40, junk=0, seed=2718),
    "B": DemoSpec("DemoReID-B", "B", train_ids=60, test_ids=36, distractors=100, junk=40, seed=1506),
}


@dataclass(frozen=True)
class Frame:
    """One image to be drawn.

    Attributes:
        split: its folder, one of ``SPLITS``.
        stem: its file name without ``.jpg``, e.g. ``"0002_c1s1_000451_00"``.
        pid: identity; 0 for a distractor, -1 for junk.
        person: the person to draw; None for an empty box.
        shot: the shot of the person.
    """

    split: str
    stem: str
    pid: int
    person: Person | None
    shot: Shot


@dataclass(frozen=True)
class DemoPlan:
    """The plan of a whole dataset.

    Attributes:
        spec: its specification.
        train: identity -> person.
        test: identity -> person.
        frames: the images, in a fixed order.
    """

    spec: DemoSpec
    train: dict[int, Person]
    test: dict[int, Person]
    frames: tuple[Frame, ...]


@lru_cache(maxsize=4)
def plan_dataset(spec: DemoSpec) -> DemoPlan:
    """Choose identities, walks and shots; the same specification gives the same plan."""
    rng = np.random.default_rng([spec.seed, 0])
    numbers = [int(n) + 1 for n in rng.permutation(spec.train_ids + spec.test_ids)]
    train_pids, test_pids = sorted(numbers[: spec.train_ids]), sorted(numbers[spec.train_ids :])
    train = dict(zip(train_pids, sample_people(spec.train_ids, spec.domain, rng), strict=True))
    test = dict(zip(test_pids, sample_people(spec.test_ids, spec.domain, rng), strict=True))
    frames: list[Frame] = []
    for pid, person in train.items():
        frames += _walks(spec, pid, person, is_train=True)
    for pid, person in test.items():
        frames += _walks(spec, pid, person, is_train=False)
    frames += _junk(spec, list(test.values()))
    frames += _distractors(spec)
    return DemoPlan(spec, train, test, tuple(frames))


def _walks(spec: DemoSpec, pid: int, person: Person, is_train: bool) -> list[Frame]:
    """Return all images of one identity: from at least 3 cameras, 2 to 4 images of each."""
    rng = np.random.default_rng([spec.seed, 1, pid])
    total = len(CAMERAS[spec.domain])
    cameras = sorted(rng.permutation(total)[: int(rng.integers(3, total + 1))])
    frames = []
    for camera in cameras:
        walk, start = sample_pass(spec.domain, int(camera), rng), int(rng.integers(1, 90000))
        for step in range(int(rng.integers(2, 4 if is_train else 5))):
            if is_train:
                split = SPLITS[0]
            else:
                split = SPLITS[1] if step == 0 else SPLITS[2]
            shot = sample_shot(walk, rng, misalignment=spec.misalignment)
            frames.append(Frame(split, _stem(pid, walk, start + 25 * step, step), pid, person, shot))
    return frames


def _stem(pid: int, walk: Pass, frame: int, box: int) -> str:
    number = "-1" if pid < 0 else f"{pid:04d}"
    return f"{number}_c{walk.camera + 1}s1_{frame:06d}_{box:02d}"


def _junk(spec: DemoSpec, people: list[Person]) -> list[Frame]:
    rng = np.random.default_rng([spec.seed, 2])
    frames = []
    for number in range(spec.junk):
        person = people[int(rng.integers(len(people)))]
        walk = sample_pass(spec.domain, int(rng.integers(len(CAMERAS[spec.domain]))), rng)
        shot = sample_shot(walk, rng, bad_box=True)
        frames.append(Frame(SPLITS[2], _stem(-1, walk, number + 1, 1), -1, person, shot))
    return frames


def _distractors(spec: DemoSpec) -> list[Frame]:
    """Return the distractors: strangers in good and bad boxes and, one in four, empty boxes."""
    rng = np.random.default_rng([spec.seed, 3])
    strangers = sample_people(max(1, spec.distractors), spec.domain, rng)
    frames = []
    for number in range(spec.distractors):
        walk = sample_pass(spec.domain, int(rng.integers(len(CAMERAS[spec.domain]))), rng)
        shot = sample_shot(walk, rng, bad_box=number % 4 == 2)
        person = None if number % 4 == 3 else strangers[number]
        frames.append(Frame(SPLITS[2], _stem(0, walk, number + 1, 2), 0, person, shot))
    return frames


def find_frame(spec: DemoSpec, image_path: str | Path) -> Frame:
    """Return the frame of a drawn image, with its person and shot, to draw it again with a change.

    Raises:
        DataError: this dataset has no such image.
    """
    path = Path(image_path)
    for frame in plan_dataset(spec).frames:
        if (frame.split, frame.stem) == (path.parent.name, path.stem):
            return frame
    raise DataError(f"the image {path} does not belong to the synthetic dataset {spec.name}")
