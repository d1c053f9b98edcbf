"""docs/pictures.py: the pictures of the READMEs, from a report and from a contact sheet."""

import shutil
import sys

import pytest
from PIL import Image

from tests.docs.pages import DOCS

PAGE = """<style>body {margin: 0} .right article {height: 50px} table {height: 500px; display: block}</style>
<section id="pair1" style="background: red"><div class="left"><h3>Sum</h3><table class="sum"></table></div>
<div class="right"><article></article><article></article><article></article>
<div class="rest">Rest</div></div></section>"""


@pytest.fixture
def pictures(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import pictures

    yield pictures
    sys.modules.pop("pictures")


def test_a_sheet_is_cut_in_half(pictures, tmp_path, monkeypatch):
    Image.new("RGB", (40, 30)).save(tmp_path / "sheet.png")
    monkeypatch.setattr(
        sys, "argv", ["pictures.py", "parts", f"{tmp_path}/sheet.png", f"{tmp_path}/half.jpg"]
    )
    pictures.main()
    with Image.open(tmp_path / "half.jpg") as half:
        assert (half.format, half.size) == ("JPEG", (40, 15))


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")), reason="Chromium is not installed"
)
def test_the_head_of_a_pair_is_photographed(pictures, tmp_path):
    pytest.importorskip("selenium")
    (tmp_path / "report.html").write_text(PAGE)
    pictures.photograph(tmp_path / "report.html", tmp_path / "pair.png")
    with Image.open(tmp_path / "pair.png") as picture:
        assert picture.height == 100  # two attributes; not the sum, the third one, or the rest
        assert picture.convert("RGB").getpixel((5, 5)) == (255, 0, 0)
