"""Importing one plug-in: names of files as modules, what fails in one sentence, what installed packages announce."""

import hashlib
import importlib
import json
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from fastreid_projects.errors import ConfigError
from fastreid_projects.losses import LOSSES
from fastreid_projects.plugin_modules import module_name
from fastreid_projects.plugin_modules.loading import load_plugin
from tests.plugin_files import restored_registries, write_loss


@pytest.fixture(autouse=True)
def _restored():
    with restored_registries():
        yield


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def refusal(name):
    with pytest.raises(ConfigError) as error:
        load_plugin(name)
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


# Files as modules


@pytest.mark.parametrize(
    "name", ["a.py", "my_loss.py", "_x__2f_.py", "with space/é-1.py", "a.b.c.py", "__init__.py"]
)
def test_the_modules_name_leads_to_its_file(tmp_path, name):
    path = write(tmp_path / name, "VALUE = 7\n")
    full = module_name(path)
    assert full.rpartition(".")[2].isidentifier()
    module = importlib.import_module(full)
    assert Path(module.__file__).samefile(path)
    assert module.VALUE == 7


def test_a_file_has_one_name_whatever_leads_to_it(tmp_path):
    path = write(tmp_path / "a" / "x.py", "")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert module_name(path) == module_name(str(tmp_path / "b" / "x.py"))
    assert module_name(path) == module_name(str(tmp_path / "a" / ".." / "a" / "x.py"))


def test_no_other_name_is_taken_for_a_file():
    for name in ("nothing", "_2f_", "_2f_nowhere_2e_py", "x_2f_y"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"fastreid_projects.plugin_modules.{name}")


def test_a_spawned_process_finds_the_file_by_an_objects_module(tmp_path):
    plugin = load_plugin(
        write(tmp_path / "shapes.py", "class Box:\n    def __reduce__(self):\n        return Box, ()\n")
    )
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        box = pool.apply(pickle.dumps, (plugin.module.Box(),))
    assert type(pickle.loads(box)) is plugin.module.Box


def test_a_package_imports_its_own_files(tmp_path):
    write(tmp_path / "box" / "size.py", "SIDE = 3\n")
    path = write(tmp_path / "box" / "__init__.py", "from .size import SIDE\n")
    plugin = load_plugin(path)
    assert plugin.module.SIDE == 3
    assert plugin.facts()["name"] == "box"
    assert plugin.path == str(tmp_path / "box")


# Once


def test_a_file_is_imported_once_as_whatever_it_is_named(tmp_path, monkeypatch):
    path = str(write_loss(tmp_path / "once_only.py"))
    monkeypatch.syspath_prepend(tmp_path)
    module = load_plugin("once_only").module
    assert load_plugin(path).module is module
    assert load_plugin(path) is load_plugin(path)


def test_the_main_script_may_be_its_own_plug_in(tmp_path):
    path = write_loss(
        tmp_path / "script.py",
        more="""
if __name__ == "__main__":
    from fastreid_projects.config import load_config

    print(load_config("", ["PLUGINS", "['script.py']"]).MODEL.LOSSES.PLUGIN.MARGIN)
""",
    )
    done = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=900
    )
    assert done.stdout == "0.5\n", done.stderr


# What fails


def test_what_fails_is_named_with_its_line(tmp_path):
    path = write(tmp_path / "bad.py", "import torch\n\n\ntorch.ones(2) @ torch.ones(3)\n")
    assert refusal(path).startswith(f"{path} fails in line 4: RuntimeError: ")
    path = write(tmp_path / "syntax.py", "x = 1\ny = (\n")
    assert refusal(path).startswith(f"{path} fails in line 2: SyntaxError: ")
    path = write(tmp_path / "ends.py", "import sys\nsys.exit(3)\n")
    assert refusal(path) == f"{path} fails in line 2: SystemExit: 3"
    path = write(tmp_path / "needs.py", "import nothing_of_this_name\n")
    assert refusal(path).startswith(f"{path} fails in line 1: ModuleNotFoundError: ")


def test_what_fails_in_another_file_of_a_package_is_named_too(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    inner = write(tmp_path / "deep_pkg" / "inner.py", "\n1 / 0\n")
    write(tmp_path / "deep_pkg" / "__init__.py", "")
    write(tmp_path / "deep_pkg" / "plugin.py", "from deep_pkg import inner\n")
    sentence = "deep_pkg.plugin fails in line 2 of {}: ZeroDivisionError: division by zero"
    assert refusal("deep_pkg.plugin") == sentence.format(inner)
    write(tmp_path / "broken_pkg" / "__init__.py", "1 / 0\n")
    write(tmp_path / "broken_pkg" / "plugin.py", "")
    assert refusal("broken_pkg.plugin").startswith("broken_pkg.plugin fails in line 1 of ")


@pytest.mark.parametrize(
    "name, words",
    [
        ("no_such_module", "there is no module no_such_module"),
        ("no_such.module", "such as no_such/module.py"),
        ("json.no_such", "there is no module json.no_such"),
        ("json.decoder.no_such", "there is no module json.decoder.no_such"),
        ("a-b", "'a-b' is neither the path of a .py file nor the name of a module"),
        (".relative", "'.relative' is neither"),
        ("/nowhere/x.py", "/nowhere/x.py does not exist"),
        ("/nowhere/x", "/nowhere/x is not a Python file"),
    ],
)
def test_what_is_not_there(name, words):
    assert words in refusal(name)


def test_two_plug_ins_of_one_name_are_both_named(tmp_path):
    first, second = write_loss(tmp_path / "first.py"), write_loss(tmp_path / "second.py")
    load_plugin(str(first))
    sentence = refusal(str(second))
    assert "the loss PluginLoss is already registered" in sentence
    assert str(first) in sentence
    assert str(second) in sentence


def test_a_failed_plug_in_leaves_no_name_behind_and_may_be_tried_again(tmp_path):
    path = write_loss(tmp_path / "again.py", more="\n1 / 0\n")
    for _ in range(2):
        assert "ZeroDivisionError" in refusal(str(path))
        assert "PluginLoss" not in LOSSES
    write_loss(path)
    importlib.invalidate_caches()
    assert load_plugin(str(path)).module.PluginLoss is LOSSES["PluginLoss"]


def test_a_failed_module_keeps_what_an_imported_one_has_registered(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    write_loss(tmp_path / "sound_module.py", name="SoundLoss", node="SOUND")
    path = write_loss(tmp_path / "unsound.py", more="\nimport sound_module\n1 / 0\n")
    refusal(str(path))
    assert "SoundLoss" in LOSSES
    assert "PluginLoss" not in LOSSES


# What is recorded


def test_the_digest_is_of_the_file_or_of_all_files_of_a_package(tmp_path):
    path = write_loss(tmp_path / "one.py")
    assert load_plugin(str(path)).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    digests = set()
    for folder, text in (("a", "X = 1\n"), ("b", "X = 2\n"), ("c", "X = 1\n")):
        package = write(tmp_path / folder / "pkg" / "__init__.py", "")
        write(tmp_path / folder / "pkg" / "part.py", text)
        digests.add(load_plugin(package).sha256)
    assert len(digests) == 2


# Entry points


def install(folder, package, module, code, value=None):
    """A package in a folder as pip leaves it there, which announces a module."""
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{package.replace('-', '_')}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[fastreid_projects.plugins]\nown = {value or module}\n")


SHOW = """
import json
from fastreid_projects.config import load_config
from fastreid_projects.doctor import _plugins
from fastreid_projects.losses import LOSSES
from fastreid_projects.plugins import used_plugins

cfg = load_config()
cfg = load_config("", ["MODEL.LOSSES.SOUND.MARGIN", "0.25"])
plugins = [plugin.facts() for plugin in used_plugins(cfg)]
findings = [list(finding) for finding in _plugins()]
print(json.dumps([cfg.MODEL.LOSSES.SOUND, cfg.SOLVER.BASE_LR, sorted(LOSSES), plugins, findings]))
"""


@pytest.mark.slow
def test_entry_points_are_known_and_broken_ones_left_out_by_name(tmp_path, run_python):
    sound = write_loss(tmp_path / "sound.py", name="SoundLoss", node="SOUND").read_text()
    install(tmp_path, "sound-reid", "sound", sound)
    broken = write_loss(tmp_path / "broken.py", name="BrokenLoss", node="BROKEN").read_text()
    install(tmp_path, "broken-reid", "broken", f"{broken}\n1 / 0\n")
    install(tmp_path, "changing-reid", "changing", "def add_config(cfg):\n    cfg.SOLVER.BASE_LR = 7.0\n")
    install(tmp_path, "function-reid", "function", "", "function:plugin")
    done = run_python(SHOW, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    node, rate, losses, plugins, findings = json.loads(done.stdout.splitlines()[-1])
    assert node == {"SCALE": 1.0, "MARGIN": 0.25}
    assert rate != 7.0
    assert "SoundLoss" in losses
    assert "BrokenLoss" not in losses
    assert {p["name"]: p["package"] for p in plugins if p["path"].endswith("sound.py")} == {
        "own": "sound-reid 1.2"
    }
    warnings = [line for line in done.stderr.splitlines() if "left out" in line]
    assert len(warnings) == 3
    for package, reason in (
        ("broken-reid 1.2", "fails in line"),
        ("changing-reid 1.2", "changes SOLVER.BASE_LR"),
        ("function-reid 1.2", "function:plugin has to be just the name of a module"),
    ):
        (warning,) = [line for line in warnings if package in line]
        assert reason in warning
        assert f"pip uninstall {package.split()[0]}" in warning
        (advice,) = [advice for what, found, advice in findings if package in what and reason in found]
        assert advice == f"Update the package, or run 'pip uninstall {package.split()[0]}'"
    assert ["plug-in own", f"sound-reid 1.2 at {tmp_path / 'sound.py'}", ""] in findings
