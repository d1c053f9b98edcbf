"""Every path, link and command in the documents exists and is understood."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from fastreid_projects.commands.table import commands as all_commands

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    p
    for p in ROOT.rglob("*.md")
    if not {".venv", "build", "logs", "datasets"} & set(p.relative_to(ROOT).parts)
)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
FENCE = re.compile(r"```(\w*)\n(.*?)```", re.S)
# Run by test_plugin_page.py, test_contributing.py and docs/test_tutorials.py, beside the files that they say how to
# write.
WITH_FILES = ("plugins.md", "CONTRIBUTING.md", "add_a_paper.md", "swap_a_loss.md")
WRITTEN = re.compile(r"`([\w./-]+)`:\n+```")
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)


def blocks(document, *languages):
    return [text for language, text in FENCE.findall(document.read_text()) if language in languages]


def commands(document):
    for text in blocks(document, "sh", "bash"):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words
    inline = re.findall(
        r"`((?:python tools|fastreid-projects|make)[^`]*)`", FENCE.sub("", document.read_text())
    )
    yield from (shlex.split(line) for line in inline)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    for link in LINK.findall(document.read_text()):
        if not link.startswith(("http://", "https://")):
            assert (document.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_are_understood(document, monkeypatch):
    """The commands parse unchanged, and their configs load with their KEY VALUE pairs."""
    from fastreid_projects.config import load_config

    monkeypatch.chdir(ROOT)
    for words in commands(document):
        if words[0] == "make":
            for target in words[1:]:
                assert "=" in target or target in TARGETS, words
            continue
        name, rest = command_of(words)
        if name and document.name not in WITH_FILES:
            module = importlib.import_module(all_commands()[name].module)
            args = module.argument_parser().parse_args(rest)
            if getattr(args, "config_file", "") and not args.config_file.startswith("logs/"):
                load_config(args.config_file, list(args.opts or []))


def command_of(words):
    """The name of the project's command that is run, and the words behind it; "" for what is another's."""
    if words[0].endswith("python") and len(words) > 1 and words[1].startswith("tools/"):
        name = re.search(r'run_tool\("([a-z-]+)"\)', Path(words[1]).read_text())
        assert name, words
        return name[1], words[2:]
    if words[:3] == ["python", "-m", "fastreid_projects"] or words[0].endswith("fastreid-projects"):
        rest = words[3:] if words[0] == "python" else words[1:]
        return (rest[0], rest[1:]) if rest and not rest[0].startswith("-") else ("", [])
    return "", []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_blocks_import_what_exists(document):
    for text in blocks(document, "python") if document.name != "CONTRIBUTING.md" else ():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module}.{alias.name}"


def test_paths_named_in_text_exist():
    """`configs/...`, `tools/...`, `projects/...` in backticks; <PAPER>, wildcards and what a recipe writes aside."""
    for document in DOCUMENTS:
        text = document.read_text()
        for path in re.findall(r"`((?:configs|tools|projects|tests|docs)/[\w./-]+)`", text):
            assert (ROOT / path).exists() or path in WRITTEN.findall(text), f"{document.name}: {path}"


def test_configs_of_ones_own_load_beside_those_here(tmp_path):
    """Those with a ``_BASE_``, as files in the folder that holds ``configs/`` and ``projects/``."""
    from fastreid_projects.config import load_config

    for folder in ("configs", "projects"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    found = [
        text
        for document in DOCUMENTS
        for text in blocks(document, "yaml")
        if "_BASE_" in text and "logs/mine" in text
    ]
    assert found
    for text in found:
        own = tmp_path / "own.yml"
        own.write_text(text)
        assert load_config(str(own)).OUTPUT_DIR == "logs/mine"
