"""Kill training runs at random moments and compares their results: ``python -m tests.engine.kill_driver``.

All that is slow to import is imported once, then each training is a fork. This process itself computes nothing, so
that no thread of PyTorch's is lost in a fork.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from fastreid_projects.engine.main import main as train
from fastreid_projects.mpn.data.part_masks import HEAD, LEG, mask_path, write_mask
from fastreid_projects.records import record
from fastreid_projects.sal.backbone import PLANES
from tests.conftest import write_market
from tests.engine.test_run import write_attributes

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "DATASETS.NAMES": "('Market1501',)",
    "DATASETS.TESTS": "('Market1501',)",
    "DATALOADER.NUM_WORKERS": "0",
    "DATALOADER.NUM_INSTANCE": "2",
    "SOLVER.IMS_PER_BATCH": "8",
    "SOLVER.MAX_EPOCH": "3",
    "SOLVER.STEPS": "[1]",
    "SOLVER.WARMUP_ITERS": "2",
    "SOLVER.DELAY_EPOCHS": "0",
    "SOLVER.CHECKPOINT_PERIOD": "1",
    "INPUT.SIZE_TRAIN": "[64, 32]",
    "INPUT.SIZE_TEST": "[64, 32]",
    "INPUT.REA.ENABLED": "True",
    "TEST.EVAL_PERIOD": "1",
    "MODEL.BACKBONE.FEAT_DIM": "64",
}
# A project's config, its stages, and what it needs besides; the last stage trains in OUTPUT_DIR itself.
PROJECTS = {
    "AMD": (
        "projects/AMD/configs/demo/amd_r18_demo.yml",
        ("target", "interpreter"),
        {"MODEL.AMD.REPORT.PAIRS": "0", "MODEL.AMD.TEST.DELETION_PAIRS": "0", "TEST.EVAL_PERIOD": "3"},
    ),
    "MPN": (
        "projects/MPN/configs/demo/mpn_r18_demo.yml",
        ("ide", "mpn"),
        {"MODEL.MPN.PRIOR.FOLDER": "part_masks", "MODEL.MPN.WIDTH": "16"},
    ),
    "SAL": (
        "projects/SAL/configs/demo/sal_r18_demo.yml",
        ("softmax", "quadruplet"),
        {
            "DATALOADER.NUM_WORKERS": "1",
            "MODEL.BACKBONE.FEAT_DIM": "128",
            "MODEL.HEADS.EMBEDDING_DIM": "32",
        },
    ),
}
LONGEST = 1200.0  # seconds that a run may take


def make_resnets_narrow() -> None:
    """Give ResNets an eighth of their channels after the first layer."""
    from fastreid.modeling.backbones.resnet import ResNet  # not at the head: it is patched first

    make = ResNet._make_layer

    def make_narrow(self, block, planes, *rest, **more):
        return make(self, block, planes // 8 if planes >= 64 else planes, *rest, **more)

    ResNet._make_layer = make_narrow
    PLANES.update({level: planes // 8 for level, planes in PLANES.items()})


def write_data(folder: Path) -> None:
    """A tiny Market-1501 with attributes and masks, and the yaml of AMD's target."""
    base = ROOT / "projects/AMD/configs/demo/amd_target_r18_demo.yml"
    (folder / "target.yml").write_text(f"_BASE_: {base}\nMODEL: {{BACKBONE: {{FEAT_DIM: 64}}}}\n")
    market = write_market(folder / "data", ids=4, test_ids=3, cameras=2, images=3, size=(32, 64))
    write_attributes(market, range(2, 9))
    for path in market.glob("*/*.jpg"):
        mask = np.zeros((64, 32), np.uint8)
        mask[4:20, 8:24], mask[30:60, 8:24] = HEAD, LEG
        write_mask(mask_path(path), mask)


def arguments(project: str, out: Path) -> list[str]:
    """The command line of a project's small training."""
    config, (first, _), own = PROJECTS[project]
    keys = {**SMALL, **own}
    if project == "AMD":
        keys["MODEL.AMD.TARGET.CONFIG"] = str(out.parents[1] / "target.yml")
        del keys["MODEL.BACKBONE.FEAT_DIM"]  # the target's
    words = ["--config-file", str(ROOT / config), "MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(out)]
    for key, value in keys.items():
        words += [key, value]
        if not key.startswith("MODEL.") or key == "MODEL.BACKBONE.FEAT_DIM":
            words += [f"STAGES.{first}.{key}", value]
    return words


def start(project: str, out: Path, *flags: str) -> int:
    """Fork a run; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    code = 1
    try:
        sink = os.open(out.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        torch.set_num_threads(1)
        sys.argv = ["train_net.py", *flags, *arguments(project, out)]
        code = train(sys.argv[1:])
    finally:
        sys.stdout.flush()
        os._exit(code)


def finish(pid: int, out: Path) -> None:
    """Wait for a run that nobody kills."""
    check(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out, 0)


def check(code: int, out: Path, signum: int) -> None:
    """End with the training's log where it neither succeeded nor did as it was told."""
    log = out.with_suffix(".log").read_text()
    if code == 128 + signum:
        told = log.splitlines()[-1]
        resumes = "Resume with: python train_net.py --resume --config-file" in told
        if "Traceback" in log or not (
            resumes or told == "Interrupted"
        ):  # the latter before the run had begun
            raise SystemExit(log[-4000:])
    elif code not in (0, -signum):
        raise SystemExit(log[-4000:])


def stage_of(project: str, out: Path) -> str:
    """The stage that is being trained; "" where all are."""
    first, last = PROJECTS[project][1]
    if not (out / first / "run.json").is_file():
        return first
    return last if not (out / "run.json").is_file() else ""


def interrupted_run(
    project: str, out: Path, kills: dict[str, int], wanted: int, seconds: float, signum: int
) -> None:
    """Train, and kill it at random moments until each stage has been killed ``wanted`` times or is finished."""
    flags: tuple[str, ...] = ()
    while stage := stage_of(project, out):
        pid = start(project, out, *flags)
        flags = ("--resume",)
        code = None
        while code is None and stage and kills[stage] >= wanted:
            time.sleep(0.02)
            code, stage = ended(pid), stage_of(project, out)
        until = time.monotonic() + random.uniform(0.05, seconds)
        while code is None and (time.monotonic() < until or not stage):
            time.sleep(0.002)
            code = ended(pid)
        if code is None:
            stage = stage_of(project, out)
            (os.kill if signum == signal.SIGTERM else os.killpg)(pid, signum)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        check(code, out, signum)
        if stage and code:
            kills[stage] += 1
            look_at_files(out)


def ended(pid: int) -> int | None:
    """A process's exit code, None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def look_at_files(out: Path) -> None:
    """No file of its final name is half there."""
    for path in out.rglob("*"):
        if path.suffix == ".pth" and not path.name.startswith("."):
            torch.load(path, weights_only=True, mmap=True, map_location="cpu")
        elif path.name in ("run.json", "report.json"):
            json.loads(path.read_text())
        elif path.name == "last_checkpoint":
            assert (path.parent / path.read_text()).is_file(), path


def differences(project: str, straight: Path, other: Path) -> list[str]:
    """Where two runs are not equal, bit for bit."""
    found = []
    for folder in (PROJECTS[project][1][0], "."):
        for name in ("model_final.pth", "model_best.pth"):
            both = [torch.load(out / folder / name, weights_only=True) for out in (straight, other)]
            found += [f"{folder}/{name}: {key}" for key in unequal(*both)]
        records = [json.loads((out / folder / "run.json").read_text()) for out in (straight, other)]
        if records[0]["metrics"] != records[1]["metrics"]:
            found.append(f"{folder}/run.json")
    return found


def unequal(a: object, b: object, name: str = "") -> list[str]:
    """The names of the values in which two nested containers differ."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return [] if torch.equal(a, b) else [name]
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [found for key in a for found in unequal(a[key], b[key], f"{name}.{key}")]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        return [found for i in range(len(a)) for found in unequal(a[i], b[i], f"{name}.{i}")]
    return [] if a == b else [name]


def killed_and_compared(project: str, folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """Return a project's kills by stage, the number of its runs, and how they differ."""
    straight = folder / "straight"
    began = time.monotonic()
    finish(start(project, straight), straight)
    seconds = time.monotonic() - began
    kills, runs, different = dict.fromkeys(PROJECTS[project][1], 0), 0, []
    while min(kills.values()) < options.kills:
        out = folder / f"run{runs}"
        interrupted_run(project, out, kills, options.kills, seconds / 2, signal.Signals[options.signal])
        different += differences(project, straight, out)
        shutil.rmtree(out)
        runs += 1
    return {"kills": kills, "runs": runs, "seconds": seconds, "different": different}


def main() -> None:
    """Print what becomes of each project, as JSON."""
    from fastreid.engine import defaults

    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("projects", nargs="+", choices=PROJECTS)
    parser.add_argument("--kills", type=int, default=1, help="in each stage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", default="SIGKILL")
    options = parser.parse_args()
    random.seed(options.seed)
    os.environ["FASTREID_DATASETS"] = str(options.folder / "data")
    defaults.collect_env_info = lambda: ""  # seconds of looking for compilers
    record.environment = dict
    os.fsync = lambda descriptor: None  # a kill takes nothing from the kernel
    make_resnets_narrow()
    write_data(options.folder)
    found = {}
    for project in options.projects:
        folder = options.folder / project
        folder.mkdir()
        found[project] = killed_and_compared(project, folder, options)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
