"""The answer of an explanation: how a distance compares, statements no firmer than their number, a drawn scale."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from fastreid_projects.amd.explain.calibration import Calibration, PartScale
from fastreid_projects.amd.explain.calibration_file import load_calibration, save_calibration
from fastreid_projects.amd.explain.distance_scale import DistanceScale
from fastreid_projects.amd.explain.distribution import LEVELS, Distribution, in_words
from fastreid_projects.amd.explain.scale_drawing import draw_scale
from fastreid_projects.amd.explain.word_model import WordModel
from fastreid_projects.amd.explain.words import WORDS, attribute_word, in_order, percent_of, same_word
from fastreid_projects.data.attributes import DEMO
from fastreid_projects.errors import DataError

SAME, DIFFERENT = np.linspace(10, 20, 1000), np.linspace(15, 40, 20_000)
BACKPACK, SLEEVES = (DEMO.attributes[DEMO.index(name)] for name in ("backpack", "up"))


@pytest.fixture
def scale():
    return DistanceScale("Set", same=Distribution.of(SAME), different=Distribution.of(DIFFERENT))


def model(m=2, told=(1, 1)):
    """Image shows k where the k-th log-norm is above 0; the contribution of a pair counts as well."""
    return WordModel(
        *(np.zeros(m), np.ones(m), 4 * np.eye(m), np.zeros(m), np.ones(m), np.zeros(m)),
        *(np.array([1.0, 1.0, 0.0, 0.0, 0.0]), np.array([-1.0])),
        *(np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.ones(m), np.array(told, float)),
    )


def calibration(scale, **kwargs):
    kwargs.setdefault("model", model())
    part = PartScale(Distribution.of(np.arange(10.0)), Distribution.of(np.arange(5.0, 15.0)))
    return Calibration(scale, ("backpack", "up"), (part, PartScale()), **kwargs)


def answer(found, parts=(2.0, 0.5), first=(3.0, 1.0), second=(0.3, 1.0), distance=18.0, **kwargs):
    norms = (np.array(first), np.array(second))
    return found.answer((BACKPACK, SLEEVES), distance, np.array(parts), norms, **kwargs)


def test_a_distribution_tells_the_share_that_is_nearer():
    values = np.random.default_rng(0).gamma(3, size=5000)
    found = Distribution.of(values)
    for value in np.quantile(values, (0.001, 0.03, 0.5, 0.97)):
        assert found.below(float(value)) == pytest.approx((values < value).mean(), abs=0.003)
    assert found.below(0.0) == 0
    assert found.below(1e9) == 1
    assert np.allclose(
        np.quantile(found.sample(2000), (0.1, 0.5, 0.9)), np.quantile(values, (0.1, 0.5, 0.9)), rtol=0.05
    )
    assert Distribution.of(np.empty(0)) is None
    assert Distribution.from_json(json.loads(json.dumps(found.as_json()))).below(2.0) == pytest.approx(
        found.below(2.0)
    )


def test_equal_distances_are_a_distribution_too():
    found = Distribution.of(np.zeros(7))
    assert (found.below(0.0), found.below(0.1)) == (0.0, 1.0)


@pytest.mark.parametrize(("pairs", "quantiles"), [(0, LEVELS), (3, LEVELS[1:]), (3, tuple(reversed(LEVELS)))])
def test_a_distribution_that_is_none_is_refused(pairs, quantiles):
    with pytest.raises(DataError, match="distribution"):
        Distribution(pairs, quantiles)


@pytest.mark.parametrize(
    ("share", "pairs", "words"),
    [
        *((0.974, 20_000, "97 of 100"), (0.0031, 20_000, "3 of 1,000"), (0.9994, 20_000, "999 of 1,000")),
        *(
            (0.4, 7, "3 of 7"),
            (1.0, 7, "all 7"),
            (0.0, 7, "none of 7"),
            (1e-6, 30, "1 of 30"),
            (0.5, 1, "1 of 1"),
        ),
    ],
)
def test_shares_are_said_as_people_count(share, pairs, words):
    assert in_words(share, pairs) == words


def test_the_sentence_says_where_a_distance_stands_and_no_verdict(scale):
    assert scale.sentence(18.0, "18") == (
        "distance 18: nearer than 88 of 100 pairs of different persons, farther than 80 of 100 pairs of one person by "
        "two cameras (Set). A threshold at this distance would take 12 of 100 pairs of different persons for one "
        "person (false-match rate 12 %)."
    )
    near, far = scale.sentence(1.0, "1"), scale.sentence(99.0, "99")
    assert (
        "nearer than all 20,000 pairs of different persons, nearer than all 1,000 pairs of one person" in near
    )
    assert "false-match rate below 0.005 %" in near
    assert (
        "farther than all 20,000 pairs of different persons, farther than all 1,000 pairs of one person"
        in far
    )
    assert scale.false_match_rate(18.0) == pytest.approx(0.12, abs=1e-3)


def test_what_was_not_measured_is_not_claimed():
    one = DistanceScale("Set", same_camera=Distribution.of(SAME))
    assert "one person by one camera" in one.sentence(12.0, "12")
    assert "false-match rate is not known" in one.sentence(12.0, "12")
    assert one.false_match_rate(12.0) is None
    unknown = DistanceScale("Set", same=Distribution.of(SAME), cameras=False)
    assert "camera" not in unknown.sentence(12.0, "12")
    assert "no pairs were measured" in DistanceScale("Set").sentence(12.0, "12")
    assert draw_scale(DistanceScale("Set"), 12.0, "12") == ""


@pytest.mark.parametrize("distance", [0.0, 18.0, 500.0])
def test_the_scale_is_drawn_with_the_pair_on_it(scale, distance):
    drawn = draw_scale(scale, distance, f"{distance:g} <&")
    root = ET.fromstring(drawn)
    assert len(root.findall(".//{*}polyline")) == 2
    texts = ["".join(text.itertext()) for text in root.findall(".//{*}text")]
    assert f"this pair: {distance:g} <&" in texts
    assert "different persons" in texts
    assert "one person by two cameras" in texts
    (marker,) = [line for line in root.findall(".//{*}line") if line.get("stroke-width") == "2.5"]
    assert 16 <= float(marker.get("x1")) <= 624
    assert not any(word in drawn for word in ("<script", " id=", "http://www.w3.org/1999"))


@pytest.mark.parametrize("values", [np.zeros(3), np.full(5, 1e-6), np.array([1e6])])
def test_a_scale_of_equal_distances_is_drawn(values):
    same = DistanceScale("Set", same=Distribution.of(values))
    drawn = draw_scale(same, float(values[0]), "x")
    assert "nan" not in drawn
    assert len(ET.fromstring(drawn).findall(".//{*}polyline")) == 1


def test_a_scale_of_one_kind_of_pairs_is_drawn():
    only = DistanceScale("Set", different=Distribution.of(np.full(9, 3.0)))
    assert len(ET.fromstring(draw_scale(only, 3.0, "3")).findall(".//{*}polyline")) == 1


@pytest.mark.parametrize(
    "p", [0.0, 0.04, 0.0501, 0.25, 0.2501, 0.5, 0.7499, 0.75, 0.91, 0.9499, 0.95, 0.999, 1.0]
)
def test_a_word_is_never_firmer_than_its_number(p):
    word = attribute_word(BACKPACK, p)
    sure = max(p, 1 - p)
    for least, firm in WORDS:
        if firm in word.text:
            assert sure >= least / 100
            assert least <= int(word.text.split("(")[1].split(" %")[0]) <= 100 * sure + 1e-6
    if sure < 0.75:
        assert word.verdict == "unknown"
        assert "cannot be told" in word.text
    else:
        assert word.verdict == ("differs" if p > 0.5 else "alike")
    assert "100 %" not in word.text


def test_words_as_people_read_them():
    assert attribute_word(BACKPACK, 0.91).text == "backpack: probably differs (91 %)"
    assert attribute_word(SLEEVES, 0.96).text == "sleeves: almost certainly differ (96 %)"
    assert attribute_word(SLEEVES, 0.2).text == "sleeves: probably alike (80 %)"
    assert attribute_word(SLEEVES, 0.55).text == "sleeves: cannot be told (differ: 55 %)"
    assert attribute_word(SLEEVES, None).text == "sleeves: cannot be told"
    assert percent_of(0.29) == 29
    words = [attribute_word(BACKPACK, p) for p in (0.1, 0.5, 0.8, 0.97)] + [same_word(BACKPACK)]
    assert [word.probability for word in in_order(words)] == [0.97, 0.8, 0.5, 0.1, 0.0]


def test_the_answer_has_words_where_the_calibration_has_them(scale):
    found = answer(calibration(scale))
    backpack, sleeves = found.words
    assert (backpack.name, backpack.verdict) == ("backpack", "differs")
    assert backpack.probability > sleeves.probability
    assert backpack.among_alike == pytest.approx(2 / 9, abs=0.01)
    assert backpack.among_different == 0
    assert sleeves.among_alike is None
    assert (found.dataset, found.order) == ("Set", ())
    assert "scale_svg" not in found.as_json()
    untold = answer(calibration(scale, model=model(told=(0, 1))))
    assert {w.name: w.text for w in untold.words}["backpack"] == "backpack: cannot be told"
    assert answer(calibration(scale, model=None)).words == ()


def test_the_order_of_the_images_does_not_matter(scale):
    found = calibration(scale)
    there = answer(found)
    back = answer(found, first=(0.3, 1.0), second=(3.0, 1.0))
    assert [w.probability for w in there.words] == pytest.approx([w.probability for w in back.words])


def test_of_one_image_nothing_differs(scale):
    found = answer(
        calibration(scale, by_words=True), parts=(0, 0), second=(3.0, 1.0), distance=0.0, one_image=True
    )
    assert [(w.verdict, w.probability) for w in found.words] == [("alike", 0.0)] * 2
    assert found.order == ()


def test_the_order_shown_is_by_words_only_where_it_has_earned_it(scale):
    parts = {"parts": (1.0, 1.3)}
    assert answer(calibration(scale), **parts).order == ()
    assert answer(calibration(scale, by_words=True), **parts).order == ("backpack", "up")


def test_an_attribute_without_a_readout_takes_the_mean_of_the_others():
    found = model()
    found = WordModel(**{**vars(found), "read": np.array([1.0, 0.0])})
    p = found.probabilities(
        np.array([[3.0, 9.0]]), np.array([[0.3, 0.1]]), np.array([[2.0, 0.5]]), np.array([3.0])
    )
    assert p[0, 1] == p[0, 0]


def test_a_calibration_is_kept_and_bound_to_its_weights(scale, tmp_path):
    path = tmp_path / "calibration.json"
    kept = calibration(scale, by_words=True, measured={"results": {"words_AUC": 78.0}})
    save_calibration(path, "mine", kept)
    other = DistanceScale("Other", same=Distribution.of(SAME + 1), cameras=False)
    save_calibration(path, "mine", Calibration(other))
    found = load_calibration(path, "mine", ("Nowhere", "Set"))
    assert found.measured == kept.measured
    expected, read = answer(kept), answer(found)
    assert (read.sentence, read.order) == (expected.sentence, expected.order)
    assert [w.text for w in read.words] == [w.text for w in expected.words]
    assert load_calibration(path, "mine", ("Other",)).scale.cameras is False
    assert load_calibration(path, "mine").scale.dataset == "Set"
    with pytest.raises(DataError, match="with other weights or another config"):
        load_calibration(path, "another")
    save_calibration(path, "another", Calibration(other))
    assert load_calibration(path, "another", ("Set",)).scale.dataset == "Other", (
        "of other weights nothing stays"
    )


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"kind": "calibration of an interpreter", "version": 9}']
)
def test_a_damaged_calibration_is_told_and_replaced(scale, tmp_path, content):
    path = tmp_path / "calibration.json"
    with pytest.raises(DataError, match="does not exist"):
        load_calibration(path, "mine")
    path.write_text(content)
    with pytest.raises(DataError, match="cannot be used"):
        load_calibration(path, "mine")
    save_calibration(path, "mine", calibration(scale))
    data = json.loads(path.read_text())
    del data["sets"]["Set"]["words"]["bias"]
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match="cannot be used"):
        load_calibration(path, "mine")
