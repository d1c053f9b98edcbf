"""The reference of config keys: comments are read from the sources, and every key is there once, with words."""

import pytest
import yaml

from fastreid_projects.config.comments import key_comments
from fastreid_projects.config.reference import HOST_WORDS, key_pages, keys_by_page, main, markdown_text
from fastreid_projects.config.values import all_keys
from fastreid_projects.plugins import PAPERS, own_cfg

WORDS = yaml.safe_load(HOST_WORDS.read_text())
SOURCE = '''
def add(cfg):
    """Adds."""
    node = cfg.MODEL.NEW = CN()
    # One: what it does,
    # in two lines.
    node.ONE = 1
    node.TWO = 2

    node.THREE = 3
    node.SUB = CN({"ENABLED": False})  # a group
    cfg.A, cfg.B = 1, 2  # both
    other = node.SUB
    # Four.
    other.FOUR = 4
    result = 5
    unknown.FIVE = 5
'''


def test_comments_belong_to_the_keys_below_them_and_beside_them():
    assert key_comments(SOURCE) == {
        "MODEL.NEW": "",
        "MODEL.NEW.ONE": "One: what it does, in two lines.",
        "MODEL.NEW.TWO": "One: what it does, in two lines.",
        "MODEL.NEW.THREE": "",
        "MODEL.NEW.SUB": "a group",
        "MODEL.NEW.SUB.ENABLED": "a group",
        "A": "both",
        "B": "both",
        "MODEL.NEW.SUB.FOUR": "Four.",
    }
    assert key_comments(SOURCE, shared=False)["MODEL.NEW.TWO"] == ""
    assert key_comments(SOURCE, "_C") == {}


def test_headlines_are_no_comments_of_keys():
    text = "# ----\n# MODEL\n# ----\n_C.MODEL = CN()\n_C.MODEL.X = 1\n"
    assert key_comments(text, "_C") == {"MODEL": "", "MODEL.X": ""}


def test_every_key_is_on_one_page_and_has_words():
    pages = keys_by_page()
    assert set(pages) == {"own", "fastreid", *(name.lower() for name in PAPERS)}
    names = [key.name for keys in pages.values() for key in keys]
    assert sorted(names) == sorted(all_keys(own_cfg()))
    assert not [key.name for keys in pages.values() for key in keys if not key.words]
    assert {key.name for key in pages["fastreid"]} >= set(WORDS)


@pytest.mark.parametrize("paper", PAPERS)
def test_a_papers_page_has_its_keys_and_no_others(paper):
    keys = keys_by_page()[paper.lower()]
    assert keys
    for key in keys:
        assert key.name.startswith((f"MODEL.{paper.upper()}.", "MODEL.LOSSES."))


def test_a_key_has_its_type_default_and_range():
    text = key_pages()["fastreid"]
    assert "### `SOLVER.BASE_LR`\n\nDefault `0.0003` (float, above 0).\n\nLearning rate" in text
    assert "### `INPUT.SIZE_TRAIN`\n\nDefault `[256, 128]` (list" in text
    assert "int, at most 4294967295" in key_pages()["own"]


def test_a_comment_is_shown_as_it_stands():
    assert markdown_text("[1, 2] <x> a_b * SOLVER.STEPS") == r"\[1, 2\] \<x\> a_b \* `SOLVER.STEPS`"


def test_the_program_prints_all_pages(capsys):
    main()
    said = capsys.readouterr().out
    for title in ("# Keys of this project", "# Keys of AMD", "# FastReID's keys"):
        assert title in said
