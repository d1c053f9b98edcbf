"""Fixtures for all tests: a tiny Market-1501 and a config that trains on it within seconds, on the CPU."""

import functools
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import fastreid_projects  # noqa: F401  (patches the host, whatever of it a test imports first)

# isort: split
from fastreid.utils.events import EventStorage

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts its background jobs with Ctrl-C ignored, and so would the processes be that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Modules that train, start commands or build every model: `make test-fast` leaves them out.
SLOW_MODULES = (
    "airnet/test_meta_arch.py",
    "airnet/test_run.py",
    "amd/evaluation/test_build.py",
    "amd/explain/test_command.py",
    "amd/explain/test_explainer.py",
    "amd/test_meta_arch.py",
    "bad_input",
    "benchmarks",
    "config/test_all_configs.py",
    "config/test_plugin_names.py",
    "config/test_ready.py",
    "data/test_cuhk03.py",
    "devices/test_evaluation.py",
    "devices/test_training.py",
    "data/test_demo.py",
    "data/test_folder.py",
    "docs/test_how_to.py",
    "docs/test_notebooks.py",
    "docs/test_site.py",
    "docs/test_tutorials.py",
    "engine",
    "fidi/test_bdb.py",
    "fidi/test_swaps.py",
    "fidi/test_sweep.py",
    "host/config",
    "host/data/datasets/test_all.py",
    "host/data/test_datasets.py",
    "host/engine",
    "host/test_upstream_projects.py",
    "modeling/backbones",
    "modeling/test_layer_decay.py",
    "mpn/test_heads.py",
    "mpn/test_meta_arch.py",
    "mpn/test_run.py",
    "evaluation/test_expected.py",
    "evidence",
    "host/data/test_build.py",
    "host/data/test_samplers.py",
    "losses/test_gather.py",
    "mpn/priors",
    "sal/test_as_target.py",
    "sal/test_backbone.py",
    "sal/test_attention.py",
    "sal/test_classification.py",
    "sal/test_configs.py",
    "sal/test_heads.py",
    "test_command_line.py",
    "test_commands.py",
    "test_doctor.py",
    "test_export.py",
    "test_extras.py",
    "test_extractor.py",
    "test_search.py",
    "test_features_page.py",
    "test_matching.py",
    "test_convert.py",
    "test_help.py",
    "test_host_import.py",
    "test_makefile.py",
    "test_plugin_page.py",
    "tools",
    "visualization/test_gradcam.py",
    "visualization/test_saliency.py",
)

# Modules of few tests that take longest: they come first, so that no process is left alone with one at the end.
LONGEST = (
    "test_contributing.py",
    "test_wheel.py",
    "test_readme.py",
    "docs/test_tutorials.py",
    "docs/test_notebooks.py",
    "tools/test_tools.py",
    "engine",
    "benchmarks",
    "config/test_plugin_names.py",
    "test_host_import.py",
    "test_plugin_page.py",
    "devices",
    "amd",
)


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    """Small tensors are slower on many threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(min(2, threads))
    yield
    torch.set_num_threads(threads)


def write_market(
    root: Path,
    *,
    ids: int = 4,
    test_ids: int = 2,
    cameras: int = 2,
    images: int = 2,
    size: tuple[int, int] = (16, 32),
    seed: int = 0,
) -> Path:
    """Write ``root/Market-1501-v15.09.15`` with images of one colour per identity and some noise.

    Args:
        root: the folder that FASTREID_DATASETS names.
        ids: training identities, numbered from 2.
        test_ids: identities of query (one image of the first camera each) and gallery (all others).
        cameras: cameras, all of which see all identities.
        images: images of an identity by a camera.
        size: width and height.
        seed: of colours and noise.

    Returns:
        the dataset's folder.
    """
    rng = np.random.default_rng(seed)
    folder = root / "Market-1501-v15.09.15"
    for part in ("bounding_box_train", "query", "bounding_box_test"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for pid in range(2, 2 + ids + test_ids):
        colour = rng.integers(0, 200, 3)
        for camera in range(1, cameras + 1):
            for number in range(images):
                noise = rng.integers(0, 56, (size[1], size[0], 3))
                part = "bounding_box_train"
                if pid >= 2 + ids:
                    part = "query" if (camera, number) == (1, 0) else "bounding_box_test"
                name = f"{pid:04d}_c{camera}s1_{number + 1:06d}_00.jpg"
                Image.fromarray((colour + noise).astype(np.uint8)).save(folder / part / name)
    return folder


@pytest.fixture(scope="session")
def market_writer() -> Callable[..., Path]:
    """The function `write_market`, for fixtures and tests that choose the folder."""
    return write_market


@pytest.fixture
def tiny_market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A factory of `write_market` below ``tmp_path/data``, which FASTREID_DATASETS then names."""

    def make(**kwargs: Any) -> Path:
        root = tmp_path / "data"
        monkeypatch.setenv("FASTREID_DATASETS", str(root))
        return write_market(root, **kwargs)

    return make


def build_tiny_backbone(cfg: Any) -> torch.nn.Module:
    """One convolution with a stride of 4 and 16 channels, in the host's registry of backbones."""
    from torch import nn

    return nn.Sequential(nn.Conv2d(3, 16, 3, 4, 1), nn.BatchNorm2d(16), nn.ReLU())


@pytest.fixture
def tiny_cfg(tmp_path: Path) -> Callable[..., Any]:
    """A factory of host configs: one epoch, 32 x 16 pixels, batches of 8, on the CPU; more as KEY, VALUE.

    The backbone is `build_tiny_backbone`; the options of the fixture `resnet18` change that.
    """

    def make(*opts: Any) -> Any:
        from fastreid.config import get_cfg
        from fastreid.modeling.backbones import BACKBONE_REGISTRY

        if build_tiny_backbone.__name__ not in BACKBONE_REGISTRY._obj_map:
            BACKBONE_REGISTRY.register(build_tiny_backbone)
        cfg = get_cfg()
        cfg.merge_from_list(
            [
                *("MODEL.DEVICE", "cpu", "MODEL.BACKBONE.NAME", "build_tiny_backbone"),
                *("MODEL.BACKBONE.FEAT_DIM", 16, "MODEL.HEADS.WITH_BNNECK", True),
                *("MODEL.LOSSES.NAME", ("CrossEntropyLoss", "TripletLoss")),
                *("INPUT.SIZE_TRAIN", [32, 16], "INPUT.SIZE_TEST", [32, 16]),
                *("DATALOADER.NUM_WORKERS", 0, "DATALOADER.SAMPLER_TRAIN", "NaiveIdentitySampler"),
                *("SOLVER.IMS_PER_BATCH", 8, "SOLVER.MAX_EPOCH", 1, "SOLVER.WARMUP_ITERS", 0),
                *("SOLVER.CHECKPOINT_PERIOD", 1, "TEST.EVAL_PERIOD", 1, "TEST.IMS_PER_BATCH", 8),
                *("OUTPUT_DIR", str(tmp_path / "logs"), "SEED", 1),
            ]
        )
        cfg.merge_from_list(list(opts))
        return cfg

    return make


@pytest.fixture
def resnet18() -> tuple[Any, ...]:
    """The options of `tiny_cfg` for a ResNet-18."""
    return (
        *("MODEL.BACKBONE.NAME", "build_resnet_backbone", "MODEL.BACKBONE.DEPTH", "18x"),
        *("MODEL.BACKBONE.FEAT_DIM", 512),
    )


@pytest.fixture
def host_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """``caplog`` that sees the loggers below "fastreid", which do not propagate once they are set up."""
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    return caplog


def _run(
    code: str, *args: str, cwd: Path | None = None, timeout: float = 600, **env: str
) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **env, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *args, "-c", code],
        capture_output=True,
        text=True,
        env=variables,
        cwd=cwd,
        timeout=timeout,
    )


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a new Python; more arguments are the interpreter's, keywords are environment variables."""
    return _run


@pytest.fixture(scope="session")
def unpatched(tmp_path_factory: pytest.TempPathFactory, market_writer: Callable[..., Path]) -> dict[str, Any]:
    """The results of unpatched.py: how each defect shows in the host as it is."""
    folder = tmp_path_factory.mktemp("unpatched")
    market_writer(folder / "run2_c3")
    script = Path(__file__).with_name("host") / "unpatched.py"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(folder)],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "PYTHONPATH": ""},
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def storage() -> Iterator[EventStorage]:
    """An open event storage, which the host's losses and steps write to."""
    with EventStorage() as opened:
        opened.epoch = 0
        yield opened


@pytest.fixture
def run_folder(tiny_cfg: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    """A factory: the folder of a finished run with random weights, config.yaml and model_final.pth alone."""

    def make(*opts: Any, seed: int = 0) -> str:
        from fastreid_projects.engine.trainer import Trainer

        cfg = tiny_cfg("MODEL.HEADS.NUM_CLASSES", 4, "MODEL.BACKBONE.PRETRAIN", False, *opts)
        torch.manual_seed(seed)
        folder = tmp_path / f"run{seed}"
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(cfg.dump())
        torch.save({"model": Trainer.build_model(cfg).state_dict()}, folder / "model_final.pth")
        return str(folder)

    return make


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """The paths of ten PNGs of different sizes, in two folders."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(10):
        path = tmp_path / "pictures" / f"p{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40 + number, 20, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
        paths.append(str(path))
    return sorted(paths)


@pytest.fixture
def album(tmp_path: Path) -> str:
    """A folder of twelve persons of one colour each, with three pictures by two cameras in a folder for each person."""
    rng = np.random.default_rng(0)
    for person in range(12):
        colour = rng.integers(0, 200, 3)
        for shot in range(3):
            pixels = (colour + rng.integers(0, 56, (32, 16, 3))).astype(np.uint8)
            path = tmp_path / "album" / f"p{person:02d}" / f"c{1 + shot % 2}_{shot}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return str(tmp_path / "album")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow modules as a whole, and let the longest ones come first."""
    for item in items:
        if _place(item.path, SLOW_MODULES) < len(SLOW_MODULES):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: _place(item.path, LONGEST))


@functools.cache
def _place(module: Path, names: tuple[str, ...]) -> int:
    """Return the place of a test module, or of a folder that it is in, among names; their number if it has none."""
    places = [Path(__file__).parent / name for name in names]
    found = (number for number, path in enumerate(places) if path == module or path in module.parents)
    return next(found, len(names))
