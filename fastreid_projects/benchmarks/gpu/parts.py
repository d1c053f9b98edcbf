"""The parts of the checks on a GPU; each is a command that runs in its own process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fastreid_projects.config.names import unknown_name

_PROJECT = [sys.executable, "-m", "fastreid_projects"]


class Choice(NamedTuple):
    """The options for all parts.

    Attributes:
        folder: folder of all results.
        device: ``"cuda"`` or ``"cpu"``.
        quick: whether to use tiny sizes.
    """

    folder: Path
    device: str
    quick: bool


class Part(NamedTuple):
    """A part.

    Attributes:
        title: title of its section on the page.
        seconds: its time limit.
        words: function (choice, file for its results) -> its command line.
    """

    title: str
    seconds: int
    words: Callable[[Choice, Path], list[str]]


def _cases(*names: str) -> Callable[[Choice, Path], list[str]]:
    """Return the command line of ``fastreid-projects benchmark`` for some cases; it writes its file after each."""

    def words(choice: Choice, output: Path) -> list[str]:
        chosen = [word for name in names for word in ("--case", name)]
        end = ["--quick"] if choice.quick else []
        return [*_PROJECT, "benchmark", *chosen, "--device", choice.device, "--output", str(output), *end]

    return words


def _tests(choice: Choice, output: Path) -> list[str]:
    """Return the command line of the tests marked gpu, with only their files, as collecting all others takes longer."""
    tests = sorted(Path("tests").rglob("test_*.py"))
    files = [str(path) for path in tests if "pytest.mark.gpu" in path.read_text(encoding="utf-8")]
    if not files:
        return [
            sys.executable,
            "-c",
            "print('There are no tests here: start in the folder of a git checkout.')",
        ]
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
    "interpreter": Part("AMD's step without the backbone", 40, _cases("interpreter_step", "decomposition")),
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
    """Return the named parts, or all if none is named.

    Raises:
        ConfigError: a part does not exist.
    """
    for name in names:
        if name not in PARTS:
            raise unknown_name("--parts", name, PARTS)
    return {name: part for name, part in PARTS.items() if not names or name in names}
