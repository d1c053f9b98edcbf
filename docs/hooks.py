"""A hook of mkdocs.yml: add pages for READMEs, config keys and notebooks, and rewrite links that leave docs/.

A link to a file of the repository leads to the file's page if it has one, or else to the repository. External images
(badges) are left out, so that pages do not load anything from elsewhere.
"""

from __future__ import annotations

import atexit
import posixpath
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

from fastreid_projects.config.reference import key_pages

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    **{
        f"projects/{p.parent.name}/README.md": f"papers/{p.parent.name.lower()}.md"
        for p in ROOT.glob("projects/*/README.md")
    },
}
"""The pages made from files outside of docs/."""
SOURCES = {page: source for source, page in PAGES.items()}
PAPER_NEEDS = (
    "*Needs the dataset that a config's folder is named after; configs in `demo` draw theirs. "
    "The tests parse every command of this page.*"
)
"""A line below the title of each paper's page."""
NOTEBOOKS = ROOT / "docs" / "notebooks"
_HOME = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Homepage"]
_FENCE = re.compile(r"^(```.*?^```$)", re.S | re.M)
_LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)(#[^)\s]*)?")
_FROM_ELSEWHERE = re.compile(r"\[?!\[[^\]]*\]\(https?://[^)]*\)(?:\]\([^)]*\))?\n?")


@event_priority(100)  # before mkdocstrings, which looks at its paths then
def on_config(config: Any) -> Any:
    """Create a layout of the package as installed, with the papers, for mkdocstrings; each build has its own."""
    laid = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, laid, ignore_errors=True)
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [laid]
    package = Path(laid, "fastreid_projects")
    sources = {package: ROOT / "fastreid_projects"}
    sources |= {package / path.parent.name: path.parent for path in ROOT.glob("projects/*/*/__init__.py")}
    for target, source in sources.items():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not files in docs/."""
    made = {page: (ROOT / source).read_text(encoding="utf-8") for source, page in PAGES.items()}
    made |= {f"reference/keys/{name}.md": text for name, text in key_pages().items()}
    made |= {f"notebooks/{path.stem}.md": notebook_page(path) for path in NOTEBOOKS.glob("*.ipynb")}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Rewrite the links of a page to lead to pages or to the repository."""
    source = SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    if source.startswith("projects/"):
        title, _, rest = markdown.partition("\n")
        markdown = f"{title}\n\n{PAPER_NEEDS}\n{rest}"
    return outside_of_code(markdown, lambda text: site_links(text, source, page.file.src_uri))


def outside_of_code(markdown: str, change: Callable[[str], str]) -> str:
    """Apply a function to a text, except for its blocks of code."""
    parts = _FENCE.split(markdown)
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))


def site_links(text: str, source: str, page: str) -> str:
    """Return the text of a file with its links rewritten for the site.

    Args:
        text: Markdown without code.
        source: path of the file in the repository.
        page: path of its page below docs/.
    """

    def lead(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        return f"]({_address(path, page, link[1])}{link[2] or ''}"

    return _LINK.sub(lead, _FROM_ELSEWHERE.sub("", text))


def _address(path: str, page: str, link: str) -> str:
    """Return the address of a file of the repository, as seen from a page; the link itself if there is no such file."""
    if path in PAGES or path.startswith("docs/"):
        target = PAGES.get(path, path.removeprefix("docs/"))
        return posixpath.relpath(target, posixpath.dirname(page) or ".")
    if not (ROOT / path).exists():
        return link
    return f"{_HOME}/{'tree' if (ROOT / path).is_dir() else 'blob'}/main/{path}"


def notebook_page(path: Path) -> str:
    """Return the cells of a notebook as Markdown, with its saved text and picture outputs."""
    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            parts.append(f"```python\n{cell.source}\n```")
            parts += [_output(output) for output in cell.outputs]
        else:
            parts.append(cell.source)
    head, rest = parts[0], parts[1:]
    link = f"This page is a notebook: [{path.name}]({path.name})."
    return "\n\n".join([head, link, *filter(None, rest)]) + "\n"


def _output(output: Any) -> str:
    if output.output_type == "stream":
        return f"```text\n{output.text.rstrip()}\n```"
    picture = output.get("data", {}).get("image/png", "").replace("\n", "")
    return f'<img alt="what the cell shows" src="data:image/png;base64,{picture}">' if picture else ""
