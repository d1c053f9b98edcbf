"""A report in a real browser: skipped where Chromium, its driver or selenium is missing."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fastreid_projects.amd.explain import (
    Answer,
    AttributeContribution,
    AttributeWord,
    PairExplanation,
    WholeMaps,
    write_report,
)
from fastreid_projects.amd.explain.measures import measure_tables
from fastreid_projects.amd.explain.rank_list import RankedImage, RankList
from fastreid_projects.data.sources import Picture
from fastreid_projects.retrieval.rank_lists import Found
from fastreid_projects.visualization.ranks import write_rank_page

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

pytestmark = pytest.mark.slow
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
TOPICS = ("backpack", "hat", "long hair")


@pytest.fixture(scope="module")
def driver():
    if not (BROWSER and DRIVER):
        pytest.skip("needs Chromium and its driver; on Debian apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def image(person, camera):
    pixels = np.random.default_rng([person, camera]).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    pixels[:, :, 0] = 20 * person
    return pixels


def pair(number, query, gallery, *, labelled=True, **more):
    """Persons 1, 2, ... under two cameras; files of one person have one name in two folders."""
    rng = np.random.default_rng(number)
    values = rng.random(len(TOPICS)) + 0.1
    contributions = [
        AttributeContribution(
            topic.replace(" ", ""),
            f"{topic}: both have it",
            float(value),
            (number % 2 == k) if labelled else None,
            rng.normal(size=(8, 4)),
            rng.normal(size=(8, 4)),
            topic=topic,
        )
        for k, (topic, value) in enumerate(zip(TOPICS, values, strict=True))
    ]
    return PairExplanation(
        image(query, 1),
        image(gallery, 2),
        f"/data/cam1/{query:04d}.jpg",
        f"/data/cam2/{gallery:04d}.jpg",
        (query == gallery) if labelled else None,
        float(10 - number),
        contributions,
        whole=WholeMaps(rng.normal(size=(8, 4)), rng.normal(size=(8, 4))),
        query_person=str(query),
        gallery_person=str(gallery),
        wrong_match=number == 2,
        **more,
    )


PAIRS = [pair(1, 1, 1), pair(2, 1, 2), pair(3, 2, 2), pair(4, 3, 1), pair(5, 3, 4)]
ANSWER = Answer(
    "Distance 5.00: nearer than 97 of 100 pairs of different persons.",
    0.03,
    '<svg viewBox="0 0 10 2"><rect width="5" height="2"/></svg>',
    (AttributeWord("backpack", "backpack: probably differs (91 %)", 0.91, "differs"),),
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Five pairs, the first two below a query."""
    ranked = [RankedImage(p.gallery_name, p.gallery_image, p.distance, p.same_identity) for p in PAIRS[:2]]
    return write_report(
        tmp_path_factory.mktemp("browser") / "report.html",
        "Why?",
        [*PAIRS[2:4], replace(PAIRS[4], answer=ANSWER)],
        rank_lists=[RankList(PAIRS[0].query_name, PAIRS[0].query_image, ranked, pairs=PAIRS[:2])],
        metrics=measure_tables({"mAP": 60.0}, {"mAP": 3.0}),
        top_k=2,
    )


@pytest.fixture
def page(driver, report):
    """The page of a desktop, as it is opened."""
    size(driver, 1280, 900)
    driver.get(report.as_uri())
    yield driver
    assert [entry["message"] for entry in driver.get_log("browser")] == []


def size(driver, width, height):
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def shown(page):
    return [s.get_attribute("id") for s in page.find_elements(By.CSS_SELECTOR, ".pair") if s.is_displayed()]


def field(page, name):
    return page.find_element(By.NAME, name)


def choose(page, name, text):
    Select(field(page, name)).select_by_visible_text(text)


def press(page, key):
    page.switch_to.active_element.send_keys(key)


def test_everything_is_shown_at_first_and_nothing_is_loaded(page):
    assert shown(page) == [f"pair{i}" for i in range(1, 6)]
    assert field(page, "count").text == "5 of 5"
    urls = page.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert [url for url in urls if not url.startswith("data:")] == []
    text = page.find_element(By.TAG_NAME, "main").text
    assert text.index("Do two photographs show the same person?") < text.index("Pair 1") < text.index("mAP")
    assert "nearer than 97 of 100" in text


def test_photos_and_maps_are_drawn(page):
    """Each photo has its own proportions, and each map the size of the photo below it."""
    photos = page.execute_script(
        "return [...document.querySelectorAll('.pair .photo')].map((p) => [p.offsetWidth, p.offsetHeight,"
        " getComputedStyle(p).backgroundImage.slice(0, 9), p.firstElementChild?.offsetHeight ?? p.offsetHeight,"
        " p.firstElementChild?.naturalWidth ?? 1])"
    )
    maps = [p for p in photos if p[1] > 20]
    assert len(maps) == 5 * (2 + 2 + 2 * 2)
    for width, height, background, above, natural in maps:
        assert height == pytest.approx(2 * width, abs=2)
        assert background == 'url("data'
        assert above == pytest.approx(height, abs=1)
        assert natural > 0


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("4", ["pair5"]),  # a person
        ("0004", ["pair5"]),
        ("1 2", ["pair2"]),
        ("0003.j", ["pair4", "pair5"]),  # part of a file's label
        ("nobody", []),
    ],
)
def test_search_by_person_and_file(page, typed, expected):
    press(page, "/")
    press(page, typed)
    assert shown(page) == expected
    assert page.find_element(By.ID, "browse-nothing").is_displayed() == (not expected)
    assert page.find_element(By.ID, "query1").is_displayed() == ("pair2" in expected)
    assert field(page, "count").text == f"{len(expected)} of 5"
    page.find_element(By.CSS_SELECTOR, "[type=reset]").click()
    page.execute_async_script("setTimeout(arguments[0])")
    assert len(shown(page)) == 5


def test_filters(page):
    choose(page, "mark", "the same person (by the labels) (2)")
    assert shown(page) == ["pair1", "pair3"]
    choose(page, "mark", "wrong matches (1)")
    assert shown(page) == ["pair2"]
    choose(page, "mark", "all 5 pairs")
    choose(page, "topic", "hat")
    drawn = [i for i, p in enumerate(PAIRS, start=1) if "hat" in [c.name for c in p.ranked[:2]]]
    assert shown(page) == [f"pair{i}" for i in drawn]
    choose(page, "state", "differs")
    assert shown(page) == ["pair1", "pair3", "pair5"]
    choose(page, "sort", "by share of the attribute")
    share = {i: p.contributions[1].value / p.reconstructed for i, p in enumerate(PAIRS, start=1)}
    assert shown(page) == [f"pair{i}" for i in sorted((1, 3, 5), key=lambda i: -share[i])]
    choose(page, "topic", "any")
    assert shown(page) == [f"pair{i}" for i in range(1, 6)]


def test_sorting_and_back(page):
    choose(page, "sort", "nearest first")
    assert shown(page) == [f"pair{i}" for i in (5, 4, 3, 2, 1)]
    assert not page.find_element(By.ID, "query1").is_displayed()
    choose(page, "sort", "original order")
    assert shown(page) == [f"pair{i}" for i in range(1, 6)]
    assert page.find_element(By.ID, "query1").is_displayed()


def test_keys_walk_through_the_pairs(page):
    for expected in ("pair1", "pair2", "pair3"):
        press(page, "j")
        assert page.switch_to.active_element.get_attribute("id") == f"{expected}-title"
    bar = page.find_element(By.ID, "browse").rect
    top = page.execute_script("return document.activeElement.getBoundingClientRect().top")
    assert top >= bar["height"]  # not below the bar
    press(page, "k")
    assert page.switch_to.active_element.get_attribute("id") == "pair2-title"


def test_pictures_are_enlarged(page):
    viewer = page.find_element(By.ID, "viewer")
    figures = page.find_elements(By.CSS_SELECTOR, "#pair1 .zoom")
    small = figures[0].size["height"]
    page.execute_script("arguments[0].focus()", figures[0])
    press(page, Keys.ENTER)
    assert viewer.is_displayed()
    caption = viewer.find_element(By.TAG_NAME, "figcaption")
    assert "cam1/0001.jpg" in caption.text
    assert viewer.find_element(By.CSS_SELECTOR, ".photo").size["height"] > 2 * small
    press(page, Keys.ARROW_RIGHT)
    assert "cam2/0001.jpg" in viewer.find_element(By.TAG_NAME, "figcaption").text
    press(page, Keys.ESCAPE)
    assert not viewer.is_displayed()
    WebDriverWait(page, 60).until(lambda page: page.switch_to.active_element == figures[1])
    figures[2].click()
    assert viewer.find_element(By.CSS_SELECTOR, ".photo img").is_displayed()
    press(page, Keys.ESCAPE)


def test_the_page_of_a_search_has_the_same_tools(driver, tmp_path):
    paths = []
    for person in (1, 2, 3):
        paths.append(tmp_path / f"{person}.png")
        Image.fromarray(image(person, 1)).save(paths[-1])
    one, two, three = (Picture(str(path), i, i) for i, path in enumerate(paths, start=1))
    again = replace(one, camid=7)
    lists = [
        (Found(one, [two, again], [1.0, 2.0], possible=True), "Its worst."),
        (Found(two, [replace(two, camid=7), three], [0.5, 3.0], possible=True), ""),
    ]
    page = write_rank_page(lists, tmp_path / "search.html", title="What is nearest?")
    size(driver, 1280, 900)
    driver.get(page.as_uri())
    assert driver.find_element(By.ID, "query2").is_displayed()
    choose(driver, "mark", "another person first (1)")
    assert not driver.find_element(By.ID, "query2").is_displayed()
    choose(driver, "mark", "all 2 queries")
    choose(driver, "sort", "nearest first")
    order = [s.get_attribute("id") for s in driver.find_elements(By.CSS_SELECTOR, ".ranks")]
    assert order == ["query2", "query1"]
    press(driver, "/")
    press(driver, "3")  # a person in the second list alone
    assert not driver.find_element(By.ID, "query1").is_displayed()
    driver.find_element(By.CSS_SELECTOR, "#query2 .asked").click()
    assert driver.find_element(By.ID, "viewer").is_displayed()
    assert driver.get_log("browser") == []


def test_a_phone_needs_no_scrolling_sideways(driver, report):
    size(driver, 390, 844)
    driver.get(report.as_uri())
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
    assert len(shown(driver)) == 5


def test_on_paper(page):
    """It shows all pairs and no tools; if filtered, only the matching pairs, with a sentence."""
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert len(shown(page)) == 5
    assert not page.find_element(By.ID, "browse").is_displayed()
    visibility = "return getComputedStyle(document.getElementById('pair5')).contentVisibility"
    assert page.execute_script(visibility) == "visible"
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    choose(page, "mark", "wrong matches (1)")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert shown(page) == ["pair2"]
    assert page.find_element(By.ID, "browse-on-paper").text == "Filtered: 1 of 5 are printed."
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_a_script_everything_is_shown(driver, report):
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        size(driver, 1280, 900)
        driver.get(report.as_uri())
        assert len(shown(driver)) == 5
        assert not driver.find_element(By.ID, "browse").is_displayed()
        contents = driver.find_element(By.CSS_SELECTOR, ".contents details")
        assert "cam1/0001.jpg = cam2/0001.jpg" in contents.get_attribute("textContent")
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
