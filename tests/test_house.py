"""House rules: which way imports go, and what no file holds."""

import ast
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "fastreid_projects"
PACKAGE = "fastreid_projects"
# projects/AMD/amd -> {"amd": that folder}
PAPERS = {path.parent.name: path.parent for path in sorted((ROOT / "projects").glob("*/*/__init__.py"))}
TEXT = {
    ".py",
    ".yml",
    ".yaml",
    ".toml",
    ".cfg",
    ".txt",
    ".md",
    ".html",
    ".j2",
    ".css",
    ".js",
    ".json",
    ".sh",
    "",
}
IGNORED = {"__pycache__", "build", "dist", "node_modules"}
IGNORED_AT_THE_TOP = {"logs", "datasets"}


def walk(*folders, suffixes):
    """Files of the repository, without hidden folders (but .ci, .github), a worktree's .git and what .gitignore
    names."""
    for folder in folders:
        for here, names, files in os.walk(folder):
            names[:] = [
                name
                for name in sorted(names)
                if name not in IGNORED
                and not (name in IGNORED_AT_THE_TOP and Path(here) == ROOT)
                and not name.endswith(".egg-info")
                and (not name.startswith(".") or name in (".ci", ".github"))
            ]
            yield from (
                Path(here) / name
                for name in sorted(files)
                if Path(name).suffix in suffixes and name != ".git"
            )


def sources(*folders):
    return list(walk(*folders, suffixes={".py"}))


def relative(path):
    return path.relative_to(ROOT).as_posix()


def module_name(path):
    """fastreid_projects.amd.losses for projects/AMD/amd/losses.py."""
    for package, folder in ((f"{PACKAGE}.{name}", folder) for name, folder in PAPERS.items()):
        if path.is_relative_to(folder):
            return ".".join([package, *path.relative_to(folder).with_suffix("").parts])
    return ".".join([PACKAGE, *path.relative_to(CORE).with_suffix("").parts])


def imports(path):
    """Every module that a file imports anywhere in it, absolute, down to the imported name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module_name(path).split(".")[: -node.level], *filter(None, [base])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def owner(module):
    """Whose a module is: a paper's name, "core", or its top-level package."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return parts[0]
    return parts[1] if len(parts) > 1 and parts[1] in PAPERS else "core"


def all_sources():
    return sources(CORE, ROOT / "projects", ROOT / "tools")


def test_there_is_something_to_check():
    assert "amd" in PAPERS
    assert len(all_sources()) > 50


# Imports go one way: fastreid <- core <- a paper <- tools


def test_the_core_imports_no_paper():
    """Only plugins.py may name papers, and only in strings."""
    for path in sources(CORE):
        owners = {owner(module) for module in imports(path)}
        assert not owners & set(PAPERS), relative(path)
        if path != CORE / "plugins.py":
            texts = {
                node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
            }
            named = [
                t for t in texts if isinstance(t, str) for p in PAPERS if re.search(rf"{PACKAGE}[./]{p}\b", t)
            ]
            assert not named, f"{relative(path)} names a paper: {named}"


def test_a_paper_imports_no_other_paper():
    for name, folder in PAPERS.items():
        for path in sources(folder):
            others = {owner(module) for module in imports(path)} & (set(PAPERS) - {name})
            assert not others, f"{relative(path)} imports {others}"


def test_nothing_imports_tools_or_tests_or_the_folders_names():
    """Only ``fastreid_projects`` is importable after an installation."""
    for path in all_sources():
        tops = {module.split(".")[0] for module in imports(path)}
        assert not tops & {"tools", "tests", "projects", *PAPERS}, relative(path)


def test_nothing_edits_the_module_path_and_nothing_imports_a_star():
    for path in all_sources():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not any(module.endswith(".*") for module in imports(path)), relative(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) != ("sys", "path"), f"{relative(path)}:{node.lineno}"


def host_names(tree):
    """Names that a file binds to a module, class or function of the host."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "fastreid":
                    yield alias.asname or "fastreid"
        elif (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and (node.module or "").split(".")[0] == "fastreid"
        ):
            yield from (alias.asname or alias.name for alias in node.names)


def root_name(node):
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def patches(path):
    """Lines that change something of the host: ``name.attribute = ...`` and ``setattr(name, ...)``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set(host_names(tree))
    for node in ast.walk(tree):
        targets = []
        if isinstance(node, (ast.Assign, ast.Delete)):
            targets = node.targets
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            targets = [ast.Attribute(node.args[0], "")] if node.func.id in ("setattr", "delattr") else []
        for target in targets:
            if isinstance(target, ast.Attribute) and root_name(target) in names:
                yield node.lineno


def test_only_the_host_folder_patches_the_host():
    for path in all_sources():
        if not path.is_relative_to(CORE / "host"):
            assert not list(patches(path)), (
                f"{relative(path)} changes the host in lines {list(patches(path))}"
            )
    assert any(list(patches(path)) for path in sources(CORE / "host"))  # the check sees a patch


def test_host_files_that_patch_name_the_hosts_file_and_line():
    for path in sources(CORE / "host"):
        if list(patches(path)):
            text = path.read_text(encoding="utf-8")
            in_a_table = re.search(r"\w+\.py", text) and re.search(r"\| line", text)
            assert in_a_table or re.search(r"\w+\.py:\d+", text), relative(path)


# Installation


def test_setup_maps_every_folder_with_code(monkeypatch):
    """A package that setup.py does not list is there in an editable installation and missing in a wheel."""
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    listed = {}

    def setup(**options):
        listed.update(options)

    code = text.replace("from setuptools import find_packages, setup", "from setuptools import find_packages")
    monkeypatch.chdir(ROOT)
    exec(
        compile(code, "setup.py", "exec"),
        {"setup": setup, "__name__": "setup", "__file__": str(ROOT / "setup.py")},
    )
    folders = {path.parent for path in sources(CORE, *PAPERS.values())}
    packages = {".".join(module_name(folder / "x").split(".")[:-1]) for folder in folders}
    assert packages == set(listed["packages"])
    assert PACKAGE not in listed["package_dir"]
    for name, folder in PAPERS.items():
        assert listed["package_dir"][f"{PACKAGE}.{name}"] == relative(folder)


def test_no_sentence_of_what_is_installed_names_tools():
    """A wheel has no ``tools/``: sentences name ``fastreid-projects <command>``; docstrings may name both."""
    for path in sources(CORE, *PAPERS.values()):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        docstrings = {
            id(n.body[0].value) for n in ast.walk(tree) if isinstance(n, holders) and ast.get_docstring(n)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                assert "tools/" not in node.value, f"{relative(path)}:{node.lineno}: {node.value}"


def test_every_package_has_its_init_and_tools_have_none():
    for path in sources(CORE, *PAPERS.values()):
        assert (path.parent / "__init__.py").is_file(), relative(path)
    assert not list((ROOT / "tools").rglob("__init__.py"))


# What no file holds


def test_no_file_holds_a_path_of_a_machine():
    """Nothing works only here: no home, no scratch folder; tests may invent paths below /tmp."""
    machine = re.compile(r"(?<![\w.~:/-])/(?:work|root|home|scratch|Users)/")
    temporary = re.compile(r"(?<![\w.~:/-])/tmp/")
    for path in walk(ROOT, suffixes=TEXT):
        if path == Path(__file__).resolve() or path.name == ".git":  # a file in a worktree
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        assert not machine.search(text), f"{relative(path)}: {machine.search(text)}"
        if not path.is_relative_to(ROOT / "tests"):
            assert not temporary.search(text), f"{relative(path)}: {temporary.search(text)}"


def test_no_source_holds_unfinished_work():
    words = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
    for path in walk(ROOT, suffixes=TEXT - {".html", ".css", ".js", ".json"}):
        if path != Path(__file__).resolve():
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not words.search(text), f"{relative(path)}: {words.search(text)}"


def test_every_module_says_what_it_is_for():
    for path in all_sources():
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), relative(path)


# Keys


@pytest.fixture(scope="module")
def house():
    pytest.importorskip("fastreid")
    from fastreid_projects import config

    return config


def leaves(node, prefix=""):
    for key, value in node.items():
        if hasattr(value, "items"):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_a_paper_adds_keys_below_its_own_node_and_changes_no_default(house):
    from fastreid.config import get_cfg

    from fastreid_projects import plugins

    for name, paper in plugins.PAPERS.items():
        cfg = get_cfg()
        before = dict(leaves(cfg))
        plugins._resolve(paper.add_config)(cfg)
        after = dict(leaves(cfg))
        assert {key: after[key] for key in before} == before
        own = (f"MODEL.{name.upper()}.", f"MODEL.LOSSES.{name.upper()}.")
        strangers = [key for key in after if key not in before and not key.startswith(own)]
        assert not strangers or all(key.startswith("MODEL.LOSSES.") for key in strangers), strangers


def test_every_path_key_is_a_key(house):
    from fastreid_projects import plugins

    keys = house.all_keys(house.load_config())
    assert set(plugins.path_keys()) <= set(keys)
