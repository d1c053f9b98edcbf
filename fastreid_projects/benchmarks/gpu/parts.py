"""The parts, and the command that each of them is, run in its own process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fastreid_projects.config.names import unknown_name

_PROJECT = [sys.executable, "-m", "fastreid_projects"]


class Choice(NamedTuple):
    """How the parts are run.

    Attributes:
        folder: of all results.
        device: ``"cuda"`` or ``"cpu"``.
        quick: in a tiny form.
    """

    folder: Path
    device: str
    quick: bool


class Part(NamedTuple):
    """A part.

    Attributes:
        title: of its section on the page.
        seconds: it is ended after so many.
        words: choice, file for its results -> its command line.
    """

    title: str
    seconds: int
    words: Callable[[Choice, Path], list[str]]


def _cases(*names: str) -> Callable[[Choice, Path], list[str]]:
    """Cases of ``fastreid-projects benchmark``, which writes its file after each."""

    def words(choice: Choice, output: Path) -> list[str]:
        chosen = [word for name in names for word in ("--case", name)]
        end = ["--quick"] if choice.quick else []
        return [*_PROJECT, "benchmark", *chosen, "--device", choice.device, "--output", str(output), *end]

    return words


def _tests(choice: Choice, output: Path) -> list[str]:
    """The tests marked gpu, of the files that hold some: collecting all others would take longer than they do."""
    tests = sorted(Path("tests").rglob("test_*.py"))
    files = [str(path) for path in tests if "pytest.mark.gpu" in path.read_text(encoding="utf-8")]
    if not files:
        return [sys.executable, "-c", "print('There are no tests here: start in the folder of a checkout.')"]
    options = ["-m", "gpu", "-q", "-p", "no:cacheprovider", f"--junitxml={output.with_suffix('.xml')}"]
    return [sys.executable, "-m", "pytest", *options, *files]


def _runs(choice: Choice, output: Path) -> list[str]:
    end = ["--quick"] if choice.quick else []
    module = [sys.executable, "-m", "fastreid_projects.benchmarks.gpu.short_runs"]
    return [*module, "--device", choice.device, "--output", str(output), *end]


PARTS = {
    "tests": Part("Tests marked gpu", 100, _tests),
    "step": Part(
        "Training step beside FastReID's own and a plain loop",
        60,
        _cases("trainer_beside_host", "training_step"),
    ),
    "interpreter": Part("AMD's step behind the backbone", 40, _cases("interpreter_step", "decomposition")),
    "evaluation": Part("Evaluation at Market-1501's size", 60, _cases("ranking", "attribute_metrics")),
    "reranking": Part("Re-ranking at Market-1501's size", 60, _cases("reranking_devices")),
    "search": Part("Search in 100,000 features", 30, _cases("search")),
    "loader": Part("Loader beside FastReID's own", 60, _cases("loader_beside_host")),
    "runs": Part("A short run of each paper", 150, _runs),
    "papers": Part(
        "The papers' models and losses",
        90,
        _cases(
            "mpn_inference",
            "mpn_training",
            "models_inference",
            "models_training",
            "pair_losses",
            "sal_training",
        ),
    ),
}


def chosen_parts(names: list[str]) -> dict[str, Part]:
    """Return the named parts, all where none is named.

    Raises:
        ConfigError: there is no such part.
    """
    for name in names:
        if name not in PARTS:
            raise unknown_name("--parts", name, PARTS)
    return {name: part for name, part in PARTS.items() if not names or name in names}
