"""Every import of the host is installed, or listed here with the reason why it is not needed."""

import ast
import importlib.util
from pathlib import Path

import fastreid
import pytest

HOST = Path(fastreid.__file__).parent

# module -> why a run never needs it
NOT_INSTALLED = {
    "Cython.Build": "nothing is compiled (host/evaluation/reid_evaluation.py)",
    "gdown": "weights are fetched without it (host/modeling/backbones/build.py)",
    "rfconv": "rectified convolutions of ResNeSt, which no config of the host asks for",
    "torch._six": "offered while the host is imported (host_import.py)",
    "collections.Mapping": "offered while the host is imported (host_import.py)",
    "fastreid.evaluation.rank_cylib.rank_cy": "compiled code; rankings are made without it (evaluation/ranking.py)",
    "fastreid.evaluation.rank_cylib.roc_cy": "compiled code; rates are made without it (evaluation/roc.py)",
    "fvcore": "collect_env.py:133 says that it is not there",
    "detectron2": "collect_env.py:152 is for another project's modules",
    "torchvision.models.utils": "mobilenetv3.py:10 takes torch.hub's where it is not there",
}


def imports(path):
    """Return (module, line) of every import in a file, at any level, with absolute names."""
    package = ["fastreid", *path.relative_to(HOST).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package[: len(package) - node.level + 1], node.module or ""]).strip(".")
            module = base if node.level else node.module
            yield module, node.lineno
            if module == "collections":
                yield from ((f"collections.{alias.name}", node.lineno) for alias in node.names)


def is_there(name):
    if name.startswith("collections."):
        import collections

        return hasattr(collections, name.partition(".")[2])
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.filterwarnings("ignore:The distutils package is deprecated")
@pytest.mark.parametrize("path", sorted(HOST.rglob("*.py")), ids=lambda path: str(path.relative_to(HOST)))
def test_imports_are_installed_or_listed(path):
    missing = {name: line for name, line in imports(path) if name not in NOT_INSTALLED and not is_there(name)}
    assert not missing, f"{path.name} imports what is not installed: {missing}"


def test_what_is_listed_is_asked_for():
    asked = {name for path in HOST.rglob("*.py") for name, _ in imports(path)}
    assert set(NOT_INSTALLED) <= asked
