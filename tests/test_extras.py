"""A package that only one command needs is an extra, and the error names the extra if it is missing."""

import sys
import tomllib
from pathlib import Path

import pytest

from fastreid_projects.errors import MissingExtraError, UserError
from fastreid_projects.extras import need

PYPROJECT = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize(
    ("module", "extra"),
    [("onnx", "export"), ("onnxruntime", "export"), ("captum.attr", "gradcam"), ("timm", "timm")],
)
def test_a_missing_package_names_its_extra(module, extra, monkeypatch):
    assert need(module, extra, "It").__name__ == module
    for name in [name for name in sys.modules if name.split(".")[0] == module.split(".")[0]]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"^It needs .* pip install 'fastreid-projects\[{extra}\]'$"):
        need(module, extra, "It")
    assert issubclass(MissingExtraError, UserError)
    packages = [requirement.split(">")[0] for requirement in PYPROJECT["optional-dependencies"][extra]]
    assert module.split(".")[0] in packages
    assert not set(packages) & {requirement.split(">")[0] for requirement in PYPROJECT["dependencies"]}


def test_a_fault_inside_a_package_is_not_its_absence(tmp_path, monkeypatch):
    (tmp_path / "broken_extra.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        need("broken_extra", "export", "It")


@pytest.mark.parametrize("module", ["fastreid_projects.export", "fastreid_projects.visualization.gradcam"])
def test_what_uses_them_can_be_imported_without(run_python, module):
    hidden = "import sys\nfor name in ('onnx', 'onnxruntime', 'captum'): sys.modules[name] = None\n"
    done = run_python(f"{hidden}import {module}")
    assert done.returncode == 0, done.stderr


def test_a_package_that_every_command_needs_is_named_in_one_sentence(run_python):
    code = """
import sys
from fastreid_projects.__main__ import main
sys.modules["faiss"] = None
sys.exit(main(["train", "--config-file", "bagtricks_r18_demo.yml", "--show-config"]))
"""
    done = run_python(code)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(
        "error: the package faiss is not installed: run 'pip install fastreid-projects'"
    )
    assert len(done.stderr.splitlines()) == 1
