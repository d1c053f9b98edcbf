"""docs/tutorials: run every block that no line marks as needing something, unchanged and in order."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks
from tests.docs.typing_in import reading
from tests.shortened import draw_few

TUTORIALS = sorted(path for path in (DOCS / "tutorials").glob("*.md") if path.name != "index.md")
LEFT = {
    "add_a_paper": [
        "stripes.py",
        "logs/stripes/model_final.pth",
        "logs/evaluated/run.json",
        "logs/stripes/model.onnx",
    ],
    "explain_a_model": ["logs/why/report.html", "logs/demo/amd/explain/report.html", "logs/alike"],
    "export": ["bot.onnx", "bot.json"],
    "first_training": [
        "sheet.png",
        "logs/first/model_best.pth",
        "logs/first_reranked/run.json",
        "logs/first_seeds/seeds.json",
    ],
    "own_pictures": ["logs/shop/run.json", "logs/found/search.html"],
    "several_gpus": ["logs/two/run.json"],
    "swap_a_loss": ["logs/with_fidi/run.json", "logs/my_loss/run.json"],
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder of datasets with a few people of the demo set."""
    return draw_few(tmp_path_factory.mktemp("drawn"), train_ids=8, test_ids=4)


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_can_be_followed(page, tmp_path, drawn, monkeypatch):
    with reading(tmp_path, drawn, monkeypatch) as reader:
        for block in blocks(page):
            if not block.needs:
                reader.follow(block, page.name)
    for path in LEFT[page.stem]:
        assert Path(path).exists(), path


def test_the_index_lists_every_tutorial():
    text = (DOCS / "tutorials" / "index.md").read_text()
    assert re.findall(r"\((\w+)\.md\)", text) == [
        *(
            "first_training",
            "own_pictures",
            "swap_a_loss",
            "explain_a_model",
            "add_a_paper",
            "several_gpus",
            "export",
        ),
    ]
    assert set(LEFT) == {page.stem for page in TUTORIALS}
