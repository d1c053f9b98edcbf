"""make docs: the site builds with strict links, has every page, and fetches nothing from elsewhere."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from fastreid_projects.plugins import PAPERS
from tests.docs.pages import DOCS, ROOT

pytest.importorskip("mkdocs")
pytest.importorskip("mkdocstrings")


class Fetched(HTMLParser):
    """Collects what a browser fetches for a page: everything but the targets of plain links."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        names = ("src", "srcset", "data", "poster", *(["href"] if tag != "a" else []))
        self.addresses += [value for name, value in attrs if name in names and value]
        self.addresses += re.findall(r"url\(([^)]+)\)", " ".join(v for n, v in attrs if n == "style" and v))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_no_page_fetches_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for path in pages:
        page = Fetched()
        page.feed(path.read_text())
        outer = [a for a in page.addresses if re.match(r"(https?:)?//", a)]
        assert not outer, f"{path.name}: {outer}"
    for path in site.rglob("*.css"):
        assert not re.search(r"(url\(\s*[\"']?|@import\s+[\"'])(https?:)?//", path.read_text()), path.name


def test_what_the_themes_scripts_could_fetch_is_not_asked_for(site):
    """They load Mermaid for its diagrams, and numbers of a forge for a repository in the header."""
    for path in site.rglob("*.html"):
        text = path.read_text()
        assert 'class="mermaid"' not in text
        assert 'data-md-component="source"' not in text


def test_every_document_is_a_page(site):
    for path in DOCS.rglob("*.md"):
        assert (site / path.relative_to(DOCS).with_suffix(".html")).is_file(), path
    for name in ("index", "contributing", "changelog", "notebooks/first_steps", "notebooks/explain_a_match"):
        assert (site / f"{name}.html").is_file(), name
    for paper in PAPERS:
        assert "Needs the dataset that a config" in (site / "papers" / f"{paper.lower()}.html").read_text()
        assert (site / "results" / f"{paper.lower()}.html").is_file()


@pytest.mark.parametrize("paper", PAPERS)
def test_the_keys_of_a_paper_are_there(site, paper):
    text = (site / "reference" / "keys" / f"{paper.lower()}.html").read_text()
    assert "MODEL." in text
    assert "Default" in text


def test_the_api_is_there(site):
    text = (site / "reference" / "api" / "use.html").read_text()
    assert "fastreid_projects.extractor.Extractor.from_config" in text
    assert ":class:" not in text
    losses = (site / "reference" / "api" / "losses.html").read_text()
    assert "fastreid_projects.fidi.losses.FIDILoss" in losses


def test_links_out_of_the_documents_lead_to_pages_or_to_the_repository(site):
    tutorial = (site / "tutorials" / "explain_a_model.html").read_text()
    assert 'href="../papers/amd.html"' in tutorial
    amd = (site / "papers" / "amd.html").read_text()
    assert re.search(r'href="https://[^"]+/blob/main/projects/AMD/amd/config.py"', amd)
    assert 'href="../results.html"' in amd
    assert "img.shields.io" not in (site / "index.html").read_text()


def test_the_site_is_built_where_git_and_the_house_rules_do_not_look():
    config = (ROOT / "mkdocs.yml").read_text()
    (folder,) = re.findall(r"^site_dir: (\S+)", config, re.M)
    assert f"{Path(folder).parts[0]}/" in (ROOT / ".gitignore").read_text().split()
    theme = re.search(r"^theme:\n((?:  .*\n)+)", config, re.M)[0]
    assert yaml.safe_load(re.sub(r"#.*", "", theme))["theme"]["font"] is False


def test_make_docs_is_strict():
    """With --quiet mkdocs counts no warning, so that nothing is strict."""
    assert re.search(r"^strict: true$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert re.search(r"^docs: .*\n\t.*-m mkdocs build --strict$", (ROOT / "Makefile").read_text(), re.M)
