"""Every block of Python or shell in docs/ is run by a test, or a line says what it needs."""

from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, blocks

RUN_BY = {
    "benchmarks.md": "tests/tools/test_tools.py",
    "configs.md": "tests/docs/test_how_to.py",
    "demo_data.md": "tests/docs/test_how_to.py",
    "features.md": "tests/test_features_page.py",
    "loss_swaps.md": "tests/fidi/test_swaps.py",
    "plugins.md": "tests/test_plugin_page.py",
    "tutorials": "tests/docs/test_tutorials.py",
}
"""Pages, and folders of pages, whose blocks without a mark a test runs."""
PAGES = sorted(DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_every_block_is_run_or_marked(page):
    name = page.relative_to(DOCS)
    if name.as_posix() in RUN_BY or name.parts[0] in RUN_BY:
        return
    for block in blocks(page):
        assert block.needs or block.language not in ("python", "sh", "bash"), block.text


def test_the_tests_that_run_pages_exist():
    for page, test in RUN_BY.items():
        assert (DOCS / page).exists()
        assert (ROOT / test).is_file()


def test_every_block_has_a_language():
    for page in PAGES:
        for block in blocks(page):
            assert block.language, f"{page.name}: {block.text}"


def test_a_mark_is_of_one_block_or_of_a_section(tmp_path):
    page = Path(tmp_path / "page.md")
    one = "```sh\na\n```\n\n"
    mark = "*Needs data.*\n\n"
    page.write_text(f"# T\n\n{one}{mark}{one}{one}## A\n\n{mark}Text.\n\n{one}### B\n\n{one}## C\n\n{one}")
    assert [block.needs for block in blocks(page)] == [False, True, False, True, True, False]
