"""Draw a whole dataset into a folder, once, with several processes; an interrupted draw leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2
from tqdm import tqdm

from fastreid_projects.data.attributes import DEMO
from fastreid_projects.data.demo.attribute_file import write_attribute_file
from fastreid_projects.data.demo.draw import draw_person
from fastreid_projects.data.demo.masks import mask_path
from fastreid_projects.data.demo.photo import encode_jpeg
from fastreid_projects.data.demo.plan import SPLITS, DemoPlan, DemoSpec, Frame, plan_dataset
from fastreid_projects.errors import DataError
from fastreid_projects.files import locked
from fastreid_projects.workers import WorkerContext

logger = logging.getLogger("fastreid.projects.demo")
MARKER = "demo.json"
_CHUNK = 32


def default_root() -> Path:
    """Return the folder of all datasets: ``$FASTREID_DATASETS``, or ``datasets``."""
    return Path(os.getenv("FASTREID_DATASETS", "datasets"))


def ensure_drawn(spec: DemoSpec, root: str | Path | None = None, workers: int | None = None) -> Path:
    """Return the dataset's folder; draw the dataset if it is missing, incomplete or of an older version.

    Several processes may call this at once: one draws, the others wait. The images do not depend on ``workers``.

    Args:
        spec: what to draw.
        root: the folder of all datasets; ``default_root()`` if None.
        workers: number of processes; the number of cores if None.

    Raises:
        DataError: the folder cannot be written, or holds something else.
    """
    root = default_root() if root is None else Path(root)
    target = root / spec.name
    if is_drawn(spec, target):
        return target
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root / f".{spec.name}.lock") as held:
            if not is_drawn(spec, target):
                _draw_beside(spec, target, workers, clean=held)
    except OSError as error:
        raise DataError(
            f"the dataset {spec.name} cannot be drawn into {root}: {error.strerror or error}; set FASTREID_DATASETS "
            "to a folder that can be written"
        ) from error
    return target


def is_drawn(spec: DemoSpec, target: Path) -> bool:
    """Return whether ``target`` holds exactly this dataset, complete."""
    try:
        marker = json.loads((target / MARKER).read_text())
        counts = {split: len(list((target / split).glob("*.jpg"))) for split in SPLITS}
    except (OSError, ValueError):
        return False
    return marker == {**spec.marker(), "images": counts}


def _draw_beside(spec: DemoSpec, target: Path, workers: int | None, clean: bool) -> None:
    """Draw into a temporary folder beside ``target``, which then replaces ``target``."""
    prefix = f".{target.name}.drawing-"
    if clean:  # left by a killed process
        for leftover in target.parent.glob(f"{prefix}*"):
            shutil.rmtree(leftover, ignore_errors=True)
    if target.exists() and any(target.iterdir()) and not (target / MARKER).is_file():
        raise DataError(f"the folder {target} was not drawn by this program; move it away first")
    fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        fresh.chmod(0o755)
        _draw(plan_dataset(spec), fresh, workers)
        _swap(spec, fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _swap(spec: DemoSpec, fresh: Path, target: Path) -> None:
    if is_drawn(spec, target):  # another process was faster
        return
    aside = fresh.with_name(f"{fresh.name}-old")
    if target.exists():
        target.rename(aside)
    fresh.rename(target)
    shutil.rmtree(aside, ignore_errors=True)


def _draw(plan: DemoPlan, folder: Path, workers: int | None) -> None:
    for split in SPLITS:
        (folder / split).mkdir()
        (folder / "masks" / split).mkdir(parents=True)
    _draw_frames(plan, folder, workers)
    write_attribute_file(plan, folder / DEMO.file_name)
    counts = {split: sum(frame.split == split for frame in plan.frames) for split in SPLITS}
    (folder / MARKER).write_text(json.dumps({**plan.spec.marker(), "images": counts}, indent=1) + "\n")


def _draw_frames(plan: DemoPlan, folder: Path, workers: int | None) -> None:
    frames = list(plan.frames)
    chunks = [frames[i : i + _CHUNK] for i in range(0, len(frames), _CHUNK)]
    workers = min(workers or os.cpu_count() or 1, os.cpu_count() or 1, len(chunks) // 4)
    done = 0
    logger.info("drawing %s: %d images, once", plan.spec.name, len(frames))
    with tqdm(total=len(frames), desc=f"drawing {plan.spec.name}", unit="image", disable=None) as progress:
        if workers > 1:
            with contextlib.suppress(BrokenProcessPool), _pool(workers) as pool:
                for count in pool.map(_draw_chunk, chunks, [folder] * len(chunks)):
                    done += 1
                    progress.update(count)
        for chunk in chunks[done:]:  # all of them without workers, the rest if a worker could not start
            progress.update(_draw_chunk(chunk, folder))


def _pool(workers: int) -> ProcessPoolExecutor:
    """Return a pool of processes with one thread each; they are spawned, as a fork of a threaded process may hang."""
    return ProcessPoolExecutor(workers, WorkerContext(), cv2.setNumThreads, (1,))


def _draw_chunk(frames: list[Frame], folder: Path) -> int:
    """Draw some images and their masks; return their number."""
    for frame in frames:
        image, masks = draw_person(frame.person, frame.shot)
        path = folder / frame.split / f"{frame.stem}.jpg"
        path.write_bytes(encode_jpeg(image, frame.shot.quality))
        masks.save(mask_path(path))
    return len(frames)
