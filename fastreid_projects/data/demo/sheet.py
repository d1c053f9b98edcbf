"""The contact sheet: a row of identities, a column for each camera."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fastreid_projects.data.attributes import DEMO
from fastreid_projects.data.demo.draw import draw_person
from fastreid_projects.data.demo.person import LOWER, UPPER, Person
from fastreid_projects.data.demo.plan import DemoSpec, plan_dataset
from fastreid_projects.data.demo.shot import CAMERAS, HEIGHT, WIDTH, sample_pass, sample_shot
from fastreid_projects.files import write_aside

_GAP, _CAPTION = 6, 190


def contact_sheet(spec: DemoSpec, identities: int = 8) -> np.ndarray:
    """Draw test identities in front of every camera, uint8 RGB.

    The persons in the first three rows share all attributes; the others show as many different attributes as possible.
    """
    people = _choose(list(plan_dataset(spec).test.values()), identities)
    columns = len(CAMERAS[spec.domain])
    height, width = identities * (HEIGHT + _GAP) + 30, _CAPTION + columns * (WIDTH + _GAP)
    sheet = np.full((height, width, 3), 255, np.uint8)
    for camera in range(columns):
        x = _CAPTION + camera * (WIDTH + _GAP)
        _write(sheet, f"camera {camera + 1}", (x + 26, 20))
    for row, person in enumerate(people):
        top = 30 + row * (HEIGHT + _GAP)
        for line, word in enumerate(describe(person)):
            _write(sheet, word, (8, top + 22 + 21 * line))
        for camera in range(columns):
            rng = np.random.default_rng([spec.seed, 9, row, camera])
            shot = sample_shot(sample_pass(spec.domain, camera, rng), rng)
            x = _CAPTION + camera * (WIDTH + _GAP)
            sheet[top : top + HEIGHT, x : x + WIDTH] = draw_person(person, shot)[0]
    return sheet


def save_contact_sheet(spec: DemoSpec, path: str | Path) -> None:
    """Write the contact sheet as an image file."""
    _, content = cv2.imencode(Path(path).suffix, contact_sheet(spec)[..., ::-1])
    write_aside(path, content.tobytes())


def describe(person: Person) -> list[str]:
    """Return the attributes of a person in a few words each."""
    words = [DEMO.attributes[i].values[person.attributes[i]] for i in range(5)]
    for group, part in ((UPPER, "up"), (LOWER, "down")):
        colours = [name.removeprefix(part) for name in group if person.has(name)]
        words.append(f"{part}: {colours[0] if colours else 'other colour'}")
    return words + [thing for thing in ("hat", "backpack", "bag", "handbag") if person.has(thing)]


def _choose(people: list[Person], count: int) -> list[Person]:
    by_vector: dict[tuple[int, ...], list[Person]] = {}
    for person in people:
        by_vector.setdefault(person.attributes, []).append(person)
    chosen = max(by_vector.values(), key=len)[: min(3, count)]
    rest = [group[0] for vector, group in by_vector.items() if vector != chosen[0].attributes]
    while len(chosen) < count and rest:
        seen = np.array([p.attributes for p in chosen]).max(0)
        best = max(rest, key=lambda p: _novelty(p, seen, chosen))
        rest.remove(best)
        chosen = [*chosen, best]
    return chosen


def _novelty(person: Person, seen: np.ndarray, chosen: list[Person]) -> float:
    vector = np.array(person.attributes)
    nearest = min(int((vector != np.array(other.attributes)).sum()) for other in chosen)
    return 3 * int(((vector == 1) & (seen == 0)).sum()) + nearest


def _write(sheet: np.ndarray, text: str, place: tuple[int, int]) -> None:
    cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.47, (40, 40, 40), 1, cv2.LINE_AA)
