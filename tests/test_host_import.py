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
from tests.test_house import CORE, PAPERS, module_name, sources

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
# Every module with a loss.
LOSSES = """
from fastreid_projects.losses import euclidean_distances
from fastreid_projects.losses.cross_entropy import cross_entropy
from fastreid_projects.fidi import FIDILoss
from fastreid_projects.mpn.alignment import alignment_loss
import fastreid_projects.amd.losses
import fastreid_projects.fidi.contrastive, fastreid_projects.fidi.losses
import fastreid_projects.losses.batch_hard, fastreid_projects.losses.host_losses
import fastreid_projects.sal.losses
"""


def test_no_module_with_a_loss_is_left_out():
    texts = {module_name(path): path.read_text() for path in sources(CORE, *PAPERS.values())}
    registering = [name for name, text in texts.items() if "\n@register_loss\n" in text]
    assert registering
    assert [name for name in registering if name not in LOSSES] == []


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


# Imports of a user who does not know of this project.
OWN = """
import collections, collections.abc, sys, types
six = types.ModuleType("torch._six")  # as the versions had it that FastReID was written for
six.string_classes = (str, bytes)
sys.modules["torch._six"], collections.Mapping = six, collections.abc.Mapping
from fastreid.data import CommDataset, build_reid_train_loader
import fastreid.data.build as build
from fastreid.evaluation.rank import evaluate_rank
from fastreid.modeling.losses import cross_entropy_loss as loss
class Pictures(CommDataset):
    pass
"""


def test_the_host_is_patched_when_it_is_imported(run_python):
    """Not when it is looked for; and to load it again changes nothing."""
    code = """
import importlib, importlib.util, sys
import fastreid_projects
print(importlib.util.find_spec("fastreid").name, "fastreid" in sys.modules)
import fastreid.config
"""
    after = """
importlib.reload(sys.modules["fastreid"])
from fastreid_projects import host_import
print(CommDataset.__module__, type(fastreid.__spec__.loader).__name__, host_import.stale_names())
"""
    done = run_python(code + OWN + after, "-W", "error::UserWarning")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "fastreid False",
        "fastreid_projects.host.data.common SourceFileLoader []",
    ]


def test_what_was_imported_too_early_is_named(run_python, tmp_path):
    """The host is imported first, and this package second."""
    script = tmp_path / "own.py"
    script.write_text(f"{OWN}import fastreid_projects.losses\nprint(build.DataLoaderX.__module__)\n")
    code = f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = run_python(code, "-W", "ignore::SyntaxWarning")
    assert done.returncode == 0, done.stderr
    names = done.stderr.partition("unpatched code: ")[2].partition(". Import fastreid_projects first")[0]
    own = ("CommDataset", "Pictures", "build_reid_train_loader", "evaluate_rank", "loss")
    assert names.split(", ") == [f"__main__.{name}" for name in own]
    line = script.read_text().splitlines().index("import fastreid_projects.losses") + 1
    assert f"{script}:{line}: UserWarning: fastreid was imported before fastreid_projects" in done.stderr
    assert done.stdout.strip() == "fastreid_projects.data.device_loader"  # a module is patched in place


def test_a_folder_of_its_name_is_not_the_host(run_python, tmp_path):
    (tmp_path / "fastreid").mkdir()
    code = f"""
import importlib.machinery
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda cls, name, path=None, *rest: find(name, [{str(tmp_path)!r}] if name == "fastreid" else path, *rest)
)
from fastreid_projects import host_import
print(host_import.has_host())
import fastreid.config
"""
    done = run_python(code)
    assert done.stdout.strip() == "False"
    assert f"HostMissingError: {imports.HOW_TO_INSTALL}" in done.stderr


def test_a_host_that_is_installed_later_is_patched(run_python):
    """As in a notebook that met the sentence."""
    code = """
import fastreid_projects
try:
    import fastreid
except ModuleNotFoundError:
    importlib.machinery.PathFinder.find_spec = find
from fastreid.data import CommDataset
print(CommDataset.__module__)
"""
    done = run_python(WITHOUT_HOST + "import importlib" + code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "fastreid_projects.host.data.common"


def test_threads_wait_for_the_patches(run_python):
    code = """
import sys, threading
import fastreid_projects
sys.setswitchinterval(1e-5)
start, found = threading.Barrier(4), []
def load(first):
    start.wait()
    first()
    from fastreid.data import CommDataset
    from fastreid.engine import DefaultTrainer
    trainer_init = sys.modules["fastreid_projects.host.engine.defaults"].trainer_init
    found.append((CommDataset.__module__, DefaultTrainer.__init__ is trainer_init))
firsts = [fastreid_projects.patch_host, lambda: __import__("fastreid")]
threads = [threading.Thread(target=load, args=(first,)) for first in firsts * 2]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(set(found), len(found))
"""
    done = run_python(code, "-W", "ignore")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "{('fastreid_projects.host.data.common', True)} 4", done.stderr


def test_a_spawned_process_patches_before_it_unpickles(run_python):
    """It imports nothing but what its arguments ask for: the main module of ``python -c`` has no file."""
    code = """
import multiprocessing
import fastreid_projects
from fastreid.data import CommDataset
from fastreid_projects.errors import DataError
data = CommDataset([("x.jpg", "a", "c")], transform=None, relabel=True)
with multiprocessing.get_context("spawn").Pool(1) as pool:
    try:
        pool.apply(data.__getitem__, (0,))
    except DataError as error:
        print(error)
"""
    done = run_python(code, "-W", "ignore")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Image x.jpg does not exist")


def test_a_patch_that_fails_leaves_no_half_patched_host(run_python):
    code = """
import sys
from fastreid_projects import patches
whole = patches.PATCHES
patches.PATCHES = list(whole)
patches.PATCHES[12] = "fastreid_projects.errors:no_such_patch"
try:
    import fastreid.data
except AttributeError:
    print([name for name in sys.modules if name.split(".")[0] == "fastreid"])
patches.PATCHES = whole
from fastreid.data import CommDataset
from fastreid.engine.defaults import DefaultTrainer, build_lr_scheduler
trainer_init = sys.modules["fastreid_projects.host.engine.defaults"].trainer_init
print(CommDataset.__module__, DefaultTrainer.__init__ is trainer_init, build_lr_scheduler.__module__)
"""
    done = run_python(code, "-W", "ignore")
    assert done.returncode == 0, done.stderr
    left, patched = done.stdout.splitlines()
    assert left == "[]"
    host = "fastreid_projects.host"
    assert patched == f"{host}.data.common True {host}.solver.build"


@pytest.mark.slow
def test_any_module_may_be_imported_first(run_python):
    """The patches import much of the core: none of it may be half imported when they come. A fork for each module.

    What the patches do not import cannot be half imported for them: those modules are imported behind the patches.
    """
    code = """
import importlib, os, sys
import cv2, faiss, numpy, PIL.Image, scipy.sparse, sklearn.metrics, tabulate, torch, torchvision, yacs.config
import fastreid_projects
def fork(work):
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException as error:
            print(type(error).__name__, error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]
def write_patched():
    import fastreid
    os.write(writing, "\\n".join(name for name in sys.modules if name.startswith("fastreid_projects.")).encode())
reading, writing = os.pipe()
assert not fork(write_patched)
os.close(writing)
patched = open(reading).read().split()
def failing(names):
    return [name for name in names if fork(lambda: importlib.import_module(name))]
failed = failing(name for name in patched if name in MODULES)
import fastreid
failed += failing(name for name in MODULES if name not in patched)
print(len(set(patched) & set(MODULES)), failed)
"""
    modules = {module_name(path).removesuffix(".__init__") for path in sources(CORE, *PAPERS.values())}
    modules = sorted(
        name for name in modules if not name.endswith("__main__") and name != "fastreid_projects"
    )
    done = run_python(f"MODULES = {modules}\n{code}", "-W", "ignore", timeout=1800)
    count, failed = done.stdout.strip().split(maxsplit=1)
    assert failed == "[]", done.stderr
    assert int(count) > 30


def test_has_host():
    assert imports.has_host()
    assert importlib.util.find_spec("fastreid") is not None
