"""Check an installation: ``python -m fastreid_projects.doctor`` says what is wrong and how to fix it.

It checks versions, the host, CUDA, faiss and the datasets, and trains a small model for two iterations to see that
its weights move. The exit code is the number of things to fix.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate

# The folder of a dataset below FASTREID_DATASETS -> its registered name.
FOLDERS = {
    "Market-1501-v15.09.15": "Market1501",
    "DukeMTMC-reID": "DukeMTMC",
    "MSMT17_V2": "MSMT17",
    "MSMT17_V1": "MSMT17",
    "cuhk03": "CUHK03",
    "cuhk03-np": "CUHK03",
    "veri": "VeRi",
    "VeRi": "VeRi",
    "vehicleid": "VehicleID",
    "VehicleID": "VehicleID",
    "VERI-Wild": "VeRiWild",
    "AirportALERT": "AirportALERT",
    "CAVIARa": "CAVIARa",
    "cuhk_sysu": "cuhkSYSU",
    "underground_reid": "GRID",
    "iLIDS": "iLIDS",
    "pep_256x128": "LPW",
    "3DPeS": "PeS3D",
    "PKUv1a_128x48": "PKU",
    "PRAI-1581": "PRAI",
    "prid_2011": "PRID",
    "SAIVT-SoftBio": "SAIVT",
    "SenseReID": "SenseReID",
    "shinpuhkan": "Shinpuhkan",
    "SYSU-MM01": "SYSU_mm",
    "thermalworld_rgb": "Thermalworld",
    "VIPeR": "VIPeR",
    "Wildtrack_crop_dataset": "WildTrackCrop",
    "FolderReID": "FolderReID",
    "DemoReID": "DemoReID",
    "DemoReID-B": "DemoReIDB",
    "DemoReID-M": "DemoReIDMisaligned",
    "cifar-100-python": "CIFAR100",
}
_CLASSIFICATION = ("CIFAR100",)  # classes instead of identities, without cameras to match
_LEAST_PYTHON = (3, 11)


class Finding(NamedTuple):
    """The result of one check.

    Attributes:
        what: what was checked, e.g. ``"torch"``.
        found: what was found, e.g. a version.
        advice: what to do; "" if nothing is wrong.
    """

    what: str
    found: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Check everything, starting with the quick checks; whatever depends on a missing part is not checked."""
    yield _python()
    torch_findings = [_package(name) for name in ("torch", "torchvision", "numpy", "PIL", "cv2")]
    yield from torch_findings
    yield _cuda() if not torch_findings[0].advice else Finding("CUDA", "not checked")
    yield _faiss()
    host = _host()
    yield host
    if host.advice or any(finding.advice for finding in torch_findings):
        return
    yield from _plugins()
    yield from _datasets()
    yield _training()


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m fastreid_projects.doctor``."""
    argparse.ArgumentParser(prog="python -m fastreid_projects.doctor", description=__doc__).parse_args(argv)
    return report()


def report() -> int:
    """Print the findings and return the number of things to fix."""
    findings = list(examine())
    rows = [("to fix" if f.advice else "ok", f.what, f.found) for f in findings]
    print(tabulate(rows, headers=["", "what", "found"], tablefmt="simple"))
    advice = [finding.advice for finding in findings if finding.advice]
    for number, sentence in enumerate(advice, start=1):
        print(f"{number}. {sentence}")
    return len(advice)


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < _LEAST_PYTHON:
        return Finding("Python", version, "Use Python 3.11 or newer: make install PYTHON=/path/to/python3.11")
    return Finding("Python", f"{version} at {sys.executable}")


def _package(name: str) -> Finding:
    return _tried(
        name,
        lambda: f"{importlib.import_module(name).__version__}",
        "Install the versions of requirements.txt, which belong together: pip install -r requirements.txt",
    )


def _cuda() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("CUDA", "no device: everything runs on the CPU")
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Finding("CUDA", f"{torch.version.cuda}, {', '.join(names)}")


def _faiss() -> Finding:
    def look() -> str:
        faiss = importlib.import_module("faiss")
        return f"{faiss.__version__}, {getattr(faiss, 'get_num_gpus', int)()} GPU(s)"

    return _tried("faiss", look, "Install faiss: pip install faiss-cpu, or on Linux x86-64 faiss-gpu")


def _host() -> Finding:
    def look() -> str:
        host = importlib.import_module("fastreid")
        folder = Path(str(host.__file__)).parent
        try:
            version = importlib.metadata.version("fastreid")
        except importlib.metadata.PackageNotFoundError:
            version = ""
        installed = "site-packages" in folder.parts
        return f"{version if installed else 'a checkout'} at {folder}, patched"

    return _tried("FastReID", look, "")


def _tried(what: str, look: Callable[[], str], advice: str) -> Finding:
    """Return the finding of ``look``; an error becomes the advice, unless another one is given."""
    try:
        return Finding(what, look())
    except Exception as error:  # whatever is broken has to be reported, not raised
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return Finding(what, f"not usable: {reason}", advice or reason)


def _plugins() -> Iterator[Finding]:
    """Yield a finding for each plug-in of another installed package."""
    from fastreid_projects.plugin_modules.loading import LEFT_OUT, installed_plugins, way_out
    from fastreid_projects.plugins import get_cfg

    get_cfg()  # adds their keys
    for plugin in installed_plugins():
        if plugin.package not in LEFT_OUT:
            yield Finding(f"plug-in {plugin.name}", f"{plugin.package} at {plugin.path}")
    for package, reason in LEFT_OUT.items():
        yield Finding(f"plug-in of {package}", f"left out: {reason}", way_out(package).capitalize())


def _datasets() -> Iterator[Finding]:
    from fastreid_projects.data.datasets import dataset_root
    from fastreid_projects.plugins import get_cfg

    get_cfg()  # registers the datasets of this project
    root = Path(dataset_root())
    present = dict.fromkeys(name for folder, name in FOLDERS.items() if (root / folder).is_dir())
    variable = "FASTREID_DATASETS" if os.environ.get("FASTREID_DATASETS") else "FASTREID_DATASETS is not set"
    lost = (
        ""
        if root.is_dir()
        else f"Create {root.resolve()}, or set FASTREID_DATASETS to the folder of the datasets"
    )
    asked = bool(os.environ.get("FASTREID_DATASETS"))  # without it, there may not be any datasets yet
    yield Finding("datasets", f"{len(present)} in {root.resolve()} ({variable})", lost if asked else "")
    for name in present:
        yield _tried(f"- {name}", partial(_count, name), "")


def _count(name: str) -> str:
    from fastreid_projects.contract import TrainsOnly
    from fastreid_projects.data.datasets import build_dataset, check_matches, subset

    dataset = build_dataset(name)
    own = name == "FolderReID"  # it may be only for training or only for tests
    if not (own and dataset.query):
        subset(dataset, name, "train")
    kind = "classes" if name in _CLASSIFICATION else "identities"
    counts = [f"{len(dataset.train)} training images of {len({item[1] for item in dataset.train})} {kind}"]
    if name in _CLASSIFICATION:
        counts.append(f"{len(dataset.query) + len(dataset.gallery)} test images")
    elif not (isinstance(dataset, TrainsOnly) or (own and not dataset.query)):
        query, gallery = subset(dataset, name, "query"), subset(dataset, name, "gallery")
        check_matches(name, [*query, *gallery], len(query))
        counts += [f"{len(query)} queries", f"{len(gallery)} gallery images"]
    return ", ".join(counts)


def _training() -> Finding:
    return _tried(
        "training",
        _train_two_iterations,
        "Training does not work here for the reason in the table. Report it together with your versions",
    )


def _train_two_iterations() -> str:
    """Train a ResNet-18 of the host on noise, with the host's trainer and optimizer."""
    import torch
    from fastreid.engine.train_loop import SimpleTrainer
    from fastreid.modeling.meta_arch import build_model
    from fastreid.solver import build_optimizer
    from fastreid.utils.events import EventStorage

    from fastreid_projects.config import load_config
    from fastreid_projects.config.ready import on_this_machine

    sizes = ["MODEL.BACKBONE.DEPTH", "18x", "MODEL.BACKBONE.FEAT_DIM", "512", "MODEL.HEADS.NUM_CLASSES", "4"]
    cfg = on_this_machine(load_config("", [*sizes, "MODEL.HEADS.WITH_BNNECK", "True"]))
    model = build_model(cfg)
    batch = {"images": torch.rand(8, 3, 64, 32) * 255, "targets": torch.arange(8) // 2}
    before = [p.detach().clone() for p in model.parameters() if p.requires_grad]
    trainer = SimpleTrainer(model, iter([batch, batch]), *build_optimizer(cfg, model))
    for trainer.iter in range(2):
        with EventStorage(trainer.iter) as trainer.storage:
            trainer.run_step()
    after = [p.detach() for p in model.parameters() if p.requires_grad]
    moved = sum(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    if moved < len(before):
        raise RuntimeError(f"only {moved} of {len(before)} weights moved in two iterations")
    return f"two iterations on {next(model.parameters()).device}: all {moved} weights moved"


if __name__ == "__main__":
    sys.exit(main())
