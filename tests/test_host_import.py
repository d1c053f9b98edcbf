"""The host is imported on a current Python, from wherever it is, and missed in one sentence."""

import collections
import importlib.util
import shutil
import sys
from pathlib import Path

import fastreid
import pytest

from fastreid_projects import host_import as imports
from fastreid_projects.patches import patch_host

TOOLS = Path(__file__).resolve().parents[1] / "tools"

WITHOUT_HOST = """
import importlib.machinery, sys
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.split(".")[0] == "fastreid" else find(name, *rest)
)
"""


def test_legacy_names(unpatched):
    assert "torch._six" in unpatched["torch_six"]
    assert "Mapping" in unpatched["collections_mapping"]
    assert not hasattr(collections, "Mapping")
    assert "torch._six" not in sys.modules
    with imports.legacy_names():
        from collections import Mapping  # noqa: F401, UP035

        from torch._six import string_classes  # noqa: F401
    assert not hasattr(collections, "Mapping")
    assert "torch._six" not in sys.modules


def test_legacy_names_are_removed_after_an_error():
    with pytest.raises(KeyError), imports.legacy_names():
        raise KeyError
    assert not hasattr(collections, "Mapping")


def test_patching_twice_changes_nothing():
    from fastreid.data import build
    from fastreid.engine import DefaultTrainer

    before = (DefaultTrainer.__init__, build.DataLoaderX, build.build_reid_train_loader)
    patch_host()
    assert before == (DefaultTrainer.__init__, build.DataLoaderX, build.build_reid_train_loader)


def test_every_module_holds_the_patched_names():
    import fastreid.data
    import fastreid.engine.defaults
    import fastreid.solver

    from fastreid_projects.data import images
    from fastreid_projects.host.data import build as loaders
    from fastreid_projects.host.data import common
    from fastreid_projects.host.solver import build as optimizer

    assert fastreid.data.CommDataset is common.CommDataset
    assert fastreid.data.common.read_image is images.read_image
    assert fastreid.engine.defaults.build_reid_train_loader is loaders.build_reid_train_loader
    assert fastreid.solver.build_optimizer is fastreid.engine.defaults.build_optimizer
    assert fastreid.engine.defaults.build_optimizer is optimizer.build_optimizer


def test_without_host_the_import_is_silent_and_the_host_is_missed_in_one_sentence(run_python):
    code = """
import warnings
warnings.simplefilter("error")
import fastreid_projects
from fastreid_projects.errors import HostMissingError
fastreid_projects.patch_host()
for name in ("fastreid", "fastreid.config"):
    try:
        __import__(name)
    except HostMissingError as error:
        print(str(error).count("\\n"), error)
try:
    import no_such_module
except ModuleNotFoundError as error:
    print(type(error).__name__)
"""
    done = run_python(WITHOUT_HOST + code)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    first, second, third = done.stdout.splitlines()
    assert first == second
    assert "pip install --no-deps fastreid==1.4.0" in first
    assert "PYTHONPATH" in first
    assert third == "ModuleNotFoundError"


@pytest.mark.parametrize("tool", sorted(TOOLS.glob("*.py")), ids=lambda path: path.stem)
def test_without_host_a_tool_says_one_sentence(run_python, tool):
    code = f"import runpy; runpy.run_path({str(tool)!r}, run_name='__main__')"
    done = run_python(WITHOUT_HOST + code)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"error: {imports.HOW_TO_INSTALL}\n"


def test_without_host_the_check_of_a_folder_says_one_sentence(run_python):
    code = "import runpy; runpy.run_module('fastreid_projects.data.folder', run_name='__main__')"
    done = run_python(WITHOUT_HOST + code)
    assert done.returncode == 2
    assert done.stderr == f"error: {imports.HOW_TO_INSTALL}\n"


def test_a_git_checkout_on_the_path_is_a_host(run_python, tmp_path: Path):
    """Master has replaced torch._six, and has no distribution metadata."""
    checkout = tmp_path / "fast-reid"
    source = Path(fastreid.__file__).parent
    shutil.copytree(
        source, checkout / "fastreid", ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.c")
    )
    build = checkout / "fastreid" / "data" / "build.py"
    text = build.read_text().replace("from torch._six import string_classes\n", "string_classes = str\n")
    build.write_text(text)
    code = (
        "import fastreid, fastreid_projects; from fastreid.data import build; print(fastreid.__file__)\n"
        "print(build.DataLoaderX.__module__, build.string_classes)"
    )
    done = run_python(code, "-W", "ignore", PYTHONPATH=str(checkout))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(checkout))
    assert "fastreid_projects.data.device_loader <class 'str'>" in done.stdout


HEAVY = ("fastreid", "faiss", "sklearn", "cv2", "scipy", "matplotlib", "tensorboard", "torchvision", "PIL")
LOSSES = """
from fastreid_projects.amd.losses import AttributePriorLoss, MetricDistillationLoss
from fastreid_projects.fidi import BatchHardContrastiveLoss, FIDILoss
from fastreid_projects.losses import BatchHardTripletLoss
from fastreid_projects.losses.cross_entropy import cross_entropy
from fastreid_projects.mpn.alignment import alignment_loss
from fastreid_projects.sal.losses import QuadrupletHardLoss, SelfAttentionConstraint
"""


def test_a_loss_costs_torch_and_that_loss(run_python):
    code = f"""
import sys, torch
before = set(sys.modules)
{LOSSES}
new = {{name.split(".")[0] for name in set(sys.modules) - before}}
print(sorted(new & set({HEAVY})))
from fastreid_projects import host_import as imports
imports.has_host()
print("fastreid" in sys.modules)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "False"]


def test_a_loss_does_not_need_the_host(run_python):
    done = run_python(WITHOUT_HOST + LOSSES)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_host_is_patched_when_it_is_imported(run_python):
    code = """
import fastreid_projects
import fastreid.config
from fastreid.data import CommDataset
print(CommDataset.__module__, type(fastreid.__loader__).__name__)
"""
    done = run_python(code, "-W", "error::UserWarning")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["fastreid_projects.host.data.common", "SourceFileLoader"]


TOO_LATE = """
import collections, collections.abc, sys, types, warnings
warnings.simplefilter("ignore")
from fastreid_projects import host_import as imports
with imports.legacy_names():
    sys.meta_path = [finder for finder in sys.meta_path if type(finder).__name__ != "_WatchedHost"]
    from fastreid.data import build_reid_train_loader
    import fastreid.data.build as build
    from fastreid.modeling.losses import cross_entropy_loss as loss
warnings.simplefilter("always")
import fastreid_projects
fastreid_projects.patch_host()
"""


def test_what_was_imported_too_early_is_named(run_python):
    """As by a user who imports fastreid (of a version that can be imported) first, and this package second."""
    done = run_python(TOO_LATE)
    assert done.returncode == 0, done.stderr
    assert "__main__.build_reid_train_loader, __main__.loss is FastReID's own, unpatched" in done.stderr
    assert "import fastreid_projects first" in done.stderr
    assert "__main__.build," not in done.stderr  # a module is patched in place


def test_a_patch_that_fails_leaves_no_half_patched_host(run_python):
    code = """
import sys
from fastreid_projects import patches as host
apply, host.apply_patches = host.apply_patches, lambda: 1 / 0
try:
    import fastreid.data
except ZeroDivisionError:
    print([name for name in sys.modules if name.split(".")[0] == "fastreid"])
host.apply_patches = apply
from fastreid.data import CommDataset
print(CommDataset.__module__)
"""
    done = run_python(code, "-W", "ignore")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "fastreid_projects.host.data.common"]


@pytest.mark.slow
def test_any_module_may_be_imported_first(run_python):
    """The patches import much of the core: none of it may be half imported when they come. A fork for each module."""
    code = """
import importlib, os, pathlib, sys
import cv2, faiss, numpy, PIL.Image, scipy.sparse, sklearn.metrics, tabulate, torch, torchvision, yacs.config
import fastreid_projects
root = pathlib.Path(fastreid_projects.__file__).parent
failed = []
for path in sorted(root.rglob("*.py")):
    name = ".".join(["fastreid_projects", *path.relative_to(root).with_suffix("").parts]).removesuffix(".__init__")
    if name.endswith("__main__") or name == "fastreid_projects":
        continue
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(name, type(error).__name__, error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
print(failed)
"""
    done = run_python(code, "-W", "ignore", timeout=1800)
    assert done.stdout.strip() == "[]", done.stderr


def test_has_host():
    assert imports.has_host()
    assert importlib.util.find_spec("fastreid") is not None
