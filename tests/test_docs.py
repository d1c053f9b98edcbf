"""Every path, link and command in the documents exists and is understood."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    p for p in ROOT.rglob("*.md") if not {".venv", "logs", "datasets"} & set(p.relative_to(ROOT).parts)
)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
FENCE = re.compile(r"```(\w*)\n(.*?)```", re.S)
TARGETS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)


def blocks(document, *languages):
    return [text for language, text in FENCE.findall(document.read_text()) if language in languages]


def commands(document):
    for text in blocks(document, "sh", "bash"):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words
    inline = re.findall(r"`((?:python tools|make)[^`]*)`", FENCE.sub("", document.read_text()))
    yield from (shlex.split(line) for line in inline)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    for link in LINK.findall(document.read_text()):
        if not link.startswith(("http://", "https://")):
            assert (document.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_are_understood(document, monkeypatch):
    from fastreid_projects.amd.explain.command import argument_parser as explain_parser
    from fastreid_projects.config import load_config
    from fastreid_projects.engine.main import argument_parser

    monkeypatch.chdir(ROOT)
    for words in commands(document):
        if words[0] == "make":
            for target in words[1:]:
                assert "=" in target or target in TARGETS, words
        elif words[0].endswith("python") and len(words) > 1 and words[1].startswith("tools/"):
            assert Path(words[1]).is_file(), words
            if words[1] == "tools/train_net.py":
                args = argument_parser().parse_args(words[2:])
                load_config(args.config_file, args.opts)
            elif words[1] == "tools/explain.py":
                args = explain_parser().parse_args(words[2:])
                load_config(args.config_file, args.opts)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_blocks_import_what_exists(document):
    for text in blocks(document, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module}.{alias.name}"


def test_paths_named_in_text_exist():
    """`configs/...`, `tools/...`, `projects/...` in backticks; <PAPER> and wildcards aside."""
    for document in DOCUMENTS:
        for path in re.findall(r"`((?:configs|tools|projects|tests|docs)/[\w./-]+)`", document.read_text()):
            assert (ROOT / path).exists(), f"{document.name}: {path}"


def test_configs_of_ones_own_load_beside_those_here(tmp_path):
    """Those with a ``_BASE_``, as files in the folder that holds ``configs/`` and ``projects/``."""
    from fastreid_projects.config import load_config

    for folder in ("configs", "projects"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    found = [text for document in DOCUMENTS for text in blocks(document, "yaml") if "_BASE_" in text]
    assert found
    for text in found:
        own = tmp_path / "own.yml"
        own.write_text(text)
        assert load_config(str(own)).OUTPUT_DIR == "logs/mine"
