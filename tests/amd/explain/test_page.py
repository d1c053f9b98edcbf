"""The report: it parses, is self-contained, its printed numbers add up, and it refuses wrong input."""

import json
import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from fastreid_projects.amd.explain import (
    Answer,
    AttributeContribution,
    AttributeWord,
    PairExplanation,
    WholeMaps,
    report_as_json,
    write_report,
)
from fastreid_projects.amd.explain.measures import Measure, MeasureTable, measure_tables
from fastreid_projects.amd.explain.rank_list import RankedImage, RankList
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.visualization.signed import signed_limit

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Collects the tags, their attributes and the text of elements by class; checks the nesting."""

    def __init__(self, html):
        super().__init__()
        self.stack, self.tags, self.by_class, self.text = [], [], {}, ""
        self.feed(html)
        self.close()
        assert not self.stack, f"not closed: {self.stack}"

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            classes = (attributes.get("class") or "").split()
            for name in classes:
                self.by_class.setdefault(name, []).append("")
            self.stack.append((tag, classes))

    def handle_endtag(self, tag):
        assert self.stack.pop()[0] == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1][0] in ("style", "script"):
            return
        self.text += data
        for _, classes in self.stack:
            for name in classes:
                self.by_class[name][-1] += data


def contribution(k, value, exclusive=False, maps="contributions", phrase=None):
    """Signed maps that add up to the value, or attention."""
    rng = np.random.default_rng(k)
    query, gallery = rng.random((8, 4)), rng.random((16, 8))
    if maps == "contributions":
        gallery = gallery - (gallery.sum() + query.sum() - value) / gallery.size
    phrase = phrase or f"thing {k}: both no thing"
    return AttributeContribution(f"a{k}", phrase, value, exclusive, query, gallery)


def whole(distance):
    maps = np.random.default_rng(2).normal(size=(2, 8, 4))
    return WholeMaps(*(maps + (distance - maps.sum()) / maps.size))


def explain(values, distance, *, same=False, exclusive=(), caption="", maps="contributions"):
    rng = np.random.default_rng(1)
    return PairExplanation(
        rng.integers(0, 256, (64, 32, 3), dtype=np.uint8),
        rng.integers(0, 256, (128, 48, 3), dtype=np.uint8),
        "q.jpg",
        "g.jpg",
        same,
        distance,
        [contribution(k, v, k in exclusive, maps) for k, v in enumerate(values)],
        caption,
        whole(distance),
        maps,
    )


ANSWER = Answer(
    "Distance 0.75: nearer than 97 of 100 pairs of different persons.",
    0.03,
    '<svg viewBox="0 0 10 2"><rect width="5" height="2"></rect></svg>',
    (
        AttributeWord("a0", "thing 0: probably differs (91 %)", 0.91, "differs"),
        AttributeWord("a1", "thing 1: cannot be told", 0.5, "unknown"),
    ),
)


def unlabelled(pair, answer):
    """As an explanation of people without labels is."""
    contributions = [
        replace(c, exclusive=None, phrase=f"thing {k} differs", topic=f"thing {k}")
        for k, c in enumerate(pair.contributions)
    ]
    return replace(pair, contributions=contributions, answer=answer)


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    values = rng.exponential(0.05, 26)
    return [
        explain(values, float(values.sum()) + 0.0719, exclusive={0, 3}, caption="The nearest."),
        explain(values[:7] / 3, float(values[:7].sum() / 3) - 0.0213, same=True),
        explain([1 / 3] * 3, 1.0, same=None),
    ]


@pytest.fixture(scope="module")
def html(pairs, tmp_path_factory):
    path = write_report(
        tmp_path_factory.mktemp("report") / "new" / "report.html",
        "A title & <more>",
        pairs,
        metrics=measure_tables({"mAP": 81.2, "X-mAP_e": 70.0, "random_X-mAP_e": 30.0}, {"mAP": 3.0}),
        notes=["Trained on drawn images."],
    )
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text("utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_it_stands_alone(html, page):
    for forbidden in ("http:", "https:", "file:", "<link", "@import", "import(", "fetch("):
        assert forbidden not in html
    assert html.count("url(") == html.count("url(data:image/jpeg;base64,")
    for tag, attributes in page.tags:
        assert attributes.get("href", "#").startswith("#")
        assert tag != "script" or "src" not in attributes
        if tag == "img":
            assert attributes["src"].startswith("data:image/png;base64,")
            assert attributes["alt"]


def test_links_of_the_contents_lead_somewhere(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = [attributes["href"].removeprefix("#") for tag, attributes in page.tags if tag == "a"]
    assert {"guide", "pair1", "pair2", "pair3", "measures"} <= set(links) <= set(ids)


def test_each_photo_is_embedded_once(tmp_path):
    """Also where it is in many pairs and a rank list: what 500 pairs weigh is their maps."""
    one = explain([0.5, 0.25], 0.75)
    found = RankedImage("g.jpg", one.gallery_image, 0.75, right=True)
    ranks = RankList("q.jpg", one.query_image, [found], pairs=[one] * 20)
    html = write_report(tmp_path / "r.html", "t", [], rank_lists=[ranks]).read_text("utf-8")
    assert html.count("url(data:") == 2 * 2 + 2  # in colours and in greys, and the colour bars
    few = write_report(
        tmp_path / "few.html", "t", [], rank_lists=[RankList("q.jpg", one.query_image, [found], pairs=[one])]
    ).stat()
    assert (len(html) - few.st_size) / 19 < 25_000


def test_it_answers_first_and_measures_last(html, page):
    text = page.text
    order = [
        "Do two photographs show the same person?",
        "How to read this",
        "Pair 1",
        "All measures of the evaluation, good or bad",
        "81.20",
    ]
    assert sorted(order, key=text.index) == order
    assert "3 pairs, by their labels: 1 of one person, 1 of different persons, 1 without a label." in text


def test_every_measure_stands_beside_chance(page):
    assert page.by_class["chance"] == ["3.00", "30.00"]


def test_words_for_people_without_labels_stand_beside_contributions_alone():
    results = {
        "words_AUC": 76.0,
        "share_AUC": 74.0,
        "words_Brier": 12.5,
        "base_Brier": 17.9,
        "words_told": 18,
        "words_right": 81.0,
        "random_words_right": 20.0,
        "words_of_one_person": 9.0,
        "random_words_of_one_person": 60.0,
    }
    (table,) = measure_tables(results)
    assert [(row.name, row.values, row.chance) for row in table.rows] == [
        ("words_AUC", ["76.00", "74.00"], "50.00"),
        ("words_Brier", ["12.50", ""], "17.90"),
        ("words_told", ["18.00", ""], ""),
        ("words_right", ["81.00", ""], "20.00"),
        ("words_of_one_person", ["9.00", ""], "60.00"),
    ]


def test_files_of_one_name_are_told_apart(tmp_path):
    pair = replace(explain([1.0], 1.0), query_name="data/cam1/0001.jpg", gallery_name="data/cam2/0001.jpg")
    page = Page(write_report(tmp_path / "r.html", "t", [pair]).read_text("utf-8"))
    assert page.by_class["file"] == ["cam1/0001.jpg", "cam2/0001.jpg"]


def test_what_the_script_knows(tmp_path):
    """Persons, marks and attributes by their labels, else by calibrated words."""
    pairs = [
        replace(explain([0.5, 0.25], 0.75, exclusive={1}), query_person="0040", wrong_match=True),
        unlabelled(explain([0.5, 0.25], 0.75, same=None), ANSWER),
    ]
    html = write_report(tmp_path / "r.html", "t", pairs, top_k=1).read_text("utf-8")
    first, second = json.loads(re.search(r'id="browse-data">(.*?)</script>', html)[1])
    assert first["persons"] == ["40"]
    assert first["marks"] == ["different", "wrong"]
    assert first["attributes"] == {"0": [0.66667, "alike", True], "1": [0.33333, "differs", False]}
    assert second["marks"] == ["unknown"]
    assert second["attributes"] == {"0": [0.66667, "differs", True], "1": [0.33333, "", False]}


def test_an_answer_comes_before_the_maps(tmp_path):
    pair = unlabelled(explain([0.5, 0.25], 0.75, same=None), ANSWER)
    page = Page(write_report(tmp_path / "r.html", "t", [pair]).read_text("utf-8"))
    order = [ANSWER.sentence, "thing 0: probably differs (91 %)", "Where it comes from"]
    assert sorted(order, key=page.text.index) == order
    assert "svg" in {tag for tag, _ in page.tags}


def test_a_number_is_explained_where_one_is_said(tmp_path):
    pair = unlabelled(explain([0.5, 0.25], 0.75, same=None), ANSWER)
    said = "percentage in brackets"
    assert said in Page(write_report(tmp_path / "r.html", "t", [pair]).read_text("utf-8")).text
    untold = replace(ANSWER, words=(AttributeWord("a0", "thing 0: cannot be told", None, "unknown"),))
    page = Page(write_report(tmp_path / "r.html", "t", [replace(pair, answer=untold)]).read_text("utf-8"))
    assert said not in page.text
    assert "Cannot tell: thing 0." in page.text


def test_nothing_differs_without_a_label_or_a_number(tmp_path):
    """Old explanations of unlabelled people say "differs" of every attribute."""
    pair = unlabelled(explain([0.5, 0.25], 0.75, same=None), None)
    page = Page(write_report(tmp_path / "r.html", "t", [pair]).read_text("utf-8"))
    assert "differs" not in page.by_class["pair"][0]
    assert page.by_class["phrase"] == ["thing 0", "thing 1"]
    assert "no label: same person or not" in page.text


def test_it_shows_each_pair(page):
    images = sum(tag == "img" for tag, _ in page.tags)
    shown = 5 + 5 + 3
    assert images == 2 * 3 + 2 * shown
    photos = sum("photo-" in (attributes.get("class") or "") for _, attributes in page.tags)
    assert photos == 1 + 3 * 5 + 2 * shown  # colour bars, the photographs, what lies below the maps
    assert page.by_class["verdict"] == [
        "by the labels: different persons",
        "by the labels: the same person",
        "no label: same person or not",
    ]
    for text in ("The nearest.", "mAP", "Trained on drawn images."):
        assert text in page.text


def test_printed_contributions_add_up(page, pairs):
    printed = [Decimal(t) for t in page.by_class["contribution"]]
    sums = [Decimal(t) for t in page.by_class["reconstructed"]]
    residuals = [Decimal(t) for t in page.by_class["residual-value"]]
    distances = [Decimal(t) for t in page.by_class["model-distance"]]
    for pair, total, residual, distance in zip(pairs, sums, residuals, distances, strict=True):
        m = len(pair.contributions)
        rows, printed = printed[:m], printed[m:]
        assert sum(rows) == total
        assert total + residual == distance
        assert rows == sorted(rows, reverse=True)
        assert abs(float(total) - pair.reconstructed) <= 0.5001e-3
        assert abs(float(distance) - pair.distance) <= 0.5001e-3
        for row, c in zip(rows, pair.ranked, strict=True):
            assert abs(float(row) - c.value) < 1e-3
    assert not printed


def test_top_rows_and_the_rest_add_up(page, pairs):
    amounts = [t.split() for t in page.by_class["amount"]]
    assert len(amounts) == (5 + 1) + (5 + 1) + 3
    for pair, count in zip(pairs, (6, 6, 3), strict=True):
        rows, amounts = amounts[:count], amounts[count:]
        assert sum(Decimal(row[0]) for row in rows) == 100
        assert sum(Decimal(row[2]) for row in rows) == Decimal(rows[0][4])
        assert float(rows[0][4]) == pytest.approx(pair.reconstructed, abs=1e-3)


def test_bars_of_the_sum_join(page, pairs):
    bars = [a for _, a in page.tags if (a.get("class") or "").startswith("bar ")]
    spans = [dict(p.split(":") for p in a["style"].split(";")) for a in bars]
    spans = [(float(s["left"][:-1]), float(s["width"][:-1])) for s in spans]
    m = len(pairs[0].contributions)
    for (left, width), (following, _) in pairwise(spans[:m]):
        assert left + width == pytest.approx(following, abs=0.02)
    total, residual, distance = spans[m : m + 3]
    assert spans[m - 1][0] + spans[m - 1][1] == pytest.approx(total[1], abs=0.02)
    assert residual[0] == pytest.approx(total[1], abs=0.02)
    assert distance == (0, 100)


def test_exclusive_is_marked_by_shape_and_word(page, pairs):
    marks = page.by_class["mark"]
    assert {m.strip() for m in marks[:2]} == {"◆ differs", "○ alike"}
    expected = [c.exclusive for pair in pairs for c in pair.ranked[:5]]
    assert ["◆" in m for m in marks[2:]] == expected


def test_where_a_distance_comes_from_adds_up_as_printed(page, pairs):
    """Under each row: query and gallery give the contribution; under the originals, the distance."""
    number = r"[+−]\d+\.\d+"
    rows = [
        re.findall(rf"query ({number}), gallery ({number}); together (\d+\.\d+)", t)
        for t in page.by_class["range"]
    ]
    printed = [[Decimal(x.replace("−", "-")) for x in row[0]] for row in rows]
    assert len(printed) == sum(1 + min(5, len(pair.contributions)) for pair in pairs)
    for query, gallery, together in printed:
        assert query + gallery == together
    assert printed[0][2] == Decimal(page.by_class["model-distance"][0])
    assert printed[1][2] == Decimal(page.by_class["contribution"][0])


def test_one_scale_for_all_attributes_of_a_pair(page, pairs):
    limit = signed_limit(*(m for c in pairs[0].contributions for m in (c.query_map, c.gallery_map)))
    first, *rows = page.by_class["range"][:6]
    assert f"±{signed_limit(pairs[0].whole.query_map, pairs[0].whole.gallery_map):.3g} or more" in first
    assert all(f"±{limit:.3g} or more in one cell" in row for row in rows)


def test_attention_has_one_scale_for_both_images_of_a_row(tmp_path):
    pair = explain([3, 2, 1], 6.0, maps="attention")
    page = Page(write_report(tmp_path / "r.html", "t", [pair]).read_text("utf-8"))
    first = pair.ranked[0]
    both = np.concatenate([first.query_map.ravel(), first.gallery_map.ravel()])
    low, high = np.percentile(both.astype(np.float32), (1, 99))
    assert f"{low:.3g} (dark) to {high:.3g} (bright)" in page.by_class["range"][1]
    assert "not what it found" in page.text


def test_what_has_no_place_is_printed(tmp_path):
    entry = replace(contribution(0, 1.0), value=1.5, rest=0.5)
    pair = replace(explain([1.0], 1.5), contributions=[entry])
    page = Page(write_report(tmp_path / "r.html", "t", [pair]).read_text("utf-8"))
    (row,) = [t for t in page.by_class["range"] if "in no cell" in t]
    query, gallery, rest, together = map(
        Decimal, re.findall(r"[+-]?\d+\.\d+", row.partition("Strongest")[0].replace("−", "-"))
    )
    assert query + gallery + rest == together == Decimal("1.500")
    assert rest == pytest.approx(Decimal("0.5"), abs=Decimal("0.001"))


def test_contributions_are_added_up_by_group(tmp_path):
    pair = explain([0.5, 0.25, 0.125, 0.0625], 1.0)
    groups = ("bags", "clothes", "clothes", "")
    grouped = [replace(c, group=group) for c, group in zip(pair.contributions, groups, strict=True)]
    page = Page(
        write_report(tmp_path / "r.html", "t", [replace(pair, contributions=grouped)]).read_text("utf-8")
    )
    assert page.by_class["groups"] == ["By group: bags 0.500, clothes 0.375, no group 0.063."]
    assert page.by_class["group"] == ["bags", "clothes", "clothes"]
    plain = Page(write_report(tmp_path / "r.html", "t", [pair]).read_text("utf-8"))
    assert "groups" not in plain.by_class


def test_a_distance_alone_is_explained_without_attributes(tmp_path):
    pair = explain([], 2.0)
    page = Page(write_report(tmp_path / "r.html", "t", [pair]).read_text("utf-8"))
    assert "together 2.000" in page.text
    assert "attribute" not in page.text
    assert sum(tag == "img" for tag, _ in page.tags) == 2


def test_texts_are_escaped(tmp_path):
    pair = explain([1.0], 1.0, caption="<script>alert(1)</script>")
    pair = replace(pair, query_name="</script><i>.jpg")
    rows = [Measure("<em>", ["<i>"], "<u>", "<s>")]
    path = write_report(
        tmp_path / "r.html", '<b> & "x"', [pair], notes=["<i>"], metrics=[MeasureTable("<u>", ["<s>"], rows)]
    )
    html = path.read_text("utf-8")
    for tag in ("<script>alert", "<i>", "<u>", "<s>", "<em>", "</script><i"):
        assert tag not in html
    assert '<b> & "x"' in Page(html).text


def test_json_agrees_with_the_page(page, pairs):
    data = json.loads(json.dumps(report_as_json(pairs)))
    printed = [c["printed_value"] for d in data for c in d["contributions"]]
    assert printed == page.by_class["contribution"]
    assert [d["printed"]["distance"] for d in data] == page.by_class["model-distance"]
    assert [d["same_identity"] for d in data] == [False, True, None]
    for d, pair in zip(data, pairs, strict=True):
        assert d["distance"] == pair.distance
        assert d["residual"] == pytest.approx(d["distance"] - d["reconstructed"])
        assert sum(c["share"] for c in d["contributions"]) == pytest.approx(1)
        assert [c["value"] for c in d["contributions"]] == [c.value for c in pair.ranked]


def test_json_of_numpy_numbers_is_plain():
    pair = explain([np.float32(0.25), np.float32(0.5)], np.float32(0.75), same=np.bool_(True))
    assert json.loads(json.dumps(report_as_json([pair])))[0]["same_identity"] is True


@pytest.mark.parametrize("scale", [0.001, 0.05, 1, 12, 700])
def test_rounding_adds_up_at_any_scale(scale):
    values = np.random.default_rng(3).random(26) * scale
    (data,) = report_as_json([explain(values, float(values.sum()) * 1.1)])
    rows = [Decimal(c["printed_value"]) for c in data["contributions"]]
    assert sum(rows) == Decimal(data["printed"]["reconstructed"])
    assert sum(rows) + Decimal(data["printed"]["residual"]) == Decimal(data["printed"]["distance"])
    assert sum(Decimal(c["printed_percent"]) for c in data["contributions"]) == 100


def test_an_explanation_without_any_distance(tmp_path):
    pair = explain([0.0, 0.0], 0.0)
    assert pair.shares == [0, 0]
    html = write_report(tmp_path / "r.html", "t", [pair]).read_text("utf-8")
    assert "nan" not in Page(html).text
    assert "-0.000" not in html


def test_properties():
    pair = explain([0.25, 0.5], 1.0)
    assert pair.reconstructed == 0.75
    assert pair.residual == 0.25
    assert [c.name for c in pair.ranked] == ["a1", "a0"]
    assert pair.shares == pytest.approx([2 / 3, 1 / 3])


def test_without_pairs_and_with_another_top_k(tmp_path):
    Page(write_report(tmp_path / "none.html", "t", []).read_text("utf-8"))
    page = Page(
        write_report(tmp_path / "two.html", "t", [explain([3, 2, 1], 6.0)], top_k=2).read_text("utf-8")
    )
    assert sum(tag == "article" for tag, _ in page.tags) == 2
    assert "the other 1 attribute together" in page.text
    with pytest.raises(ConfigError, match="top_k=0"):
        write_report(tmp_path / "zero.html", "t", [], top_k=0)


def test_a_path_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write .*report\.html"):
        write_report(tmp_path / "file" / "report.html", "t", [])
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot write"):
        write_report(tmp_path / "folder", "t", [])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_inputs_that_cannot_be_explained():
    with pytest.raises(DataError, match=r"contribution of 'a0' must be finite and >= 0, not -0\.1"):
        contribution(0, -0.1)
    with pytest.raises(DataError, match="contribution of 'a0'"):
        contribution(0, float("nan"))
    with pytest.raises(DataError, match="map of 'hat' on the gallery image contains NaN"):
        AttributeContribution("hat", "hat", 0.1, None, np.ones((2, 2)), np.full((2, 2), np.nan))
    with pytest.raises(DataError, match="no contributions"):
        replace(explain([], 1.0), whole=None)
    with pytest.raises(DataError, match=r"distance of 'q\.jpg' and 'g\.jpg' is nan"):
        replace(explain([1.0], 1.0), distance=float("nan"))
    with pytest.raises(DataError, match="query image 'q' must be uint8"):
        PairExplanation(np.zeros((4, 4)), np.zeros((4, 4, 3)), "q", "g", None, 1.0, [contribution(0, 1.0)])
