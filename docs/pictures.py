"""The pictures of the READMEs, from what the commands write: CONTRIBUTING.md, "Pictures"."""

from __future__ import annotations

import argparse
import io
import shutil
from collections.abc import Callable
from pathlib import Path

from PIL import Image

WINDOW = (1150, 1600)
_HIDDEN = ".left > h3, table.sum, .untold, .right > .range, .right > .rest, .right > article:nth-of-type(n+3)"
"""What a picture is too small for: the whole sum, what cannot be told, and all attributes but the first two."""


def photograph(report: Path, picture: Path, pair: str = "pair1") -> None:
    """Save the head of a pair of a report of explanations as Chromium shows it, a PNG of 256 colours.

    Args:
        report: the report.html.
        picture: the file to write.
        pair: the id of the pair in the page.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("headless=new", "no-sandbox", "window-size={},{}".format(*WINDOW)):
        options.add_argument(f"--{argument}")
    style = f"document.head.insertAdjacentHTML('beforeend', '<style>{_HIDDEN} {{display: none}}</style>')"
    with webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver"))) as browser:
        browser.get(f"{report.resolve().as_uri()}#{pair}")
        browser.execute_script(style)
        shot = browser.find_element("id", pair).screenshot_as_png
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(256).save(picture, optimize=True)


def top_half(sheet: Path, picture: Path) -> None:
    """Save the upper half of a contact sheet as a JPEG."""
    with Image.open(sheet) as image:
        image.convert("RGB").crop((0, 0, image.width, image.height // 2)).save(picture, quality=88)


def main() -> None:
    """Make the picture that is named."""
    makers: dict[str, Callable[[Path, Path], None]] = {"explanation": photograph, "parts": top_half}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=makers)
    parser.add_argument("source", type=Path, help="report.html, or the sheet of make-part-priors")
    parser.add_argument("picture", type=Path, help="the file to write")
    args = parser.parse_args()
    makers[args.what](args.source, args.picture)


if __name__ == "__main__":
    main()
