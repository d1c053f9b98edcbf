"""A calibration made by an evaluation: pairs, predictions tested on held-out people, and the file."""

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fastreid_projects.amd.evaluation import word_fit
from fastreid_projects.amd.evaluation.calibration_study import CalibrationStudy, distance_scale, persons_of
from fastreid_projects.amd.evaluation.evaluator import AttributeEvaluator
from fastreid_projects.amd.evaluation.pair_sample import different_pairs, same_pairs
from fastreid_projects.amd.evaluation.scored_features import ScoredFeatures
from fastreid_projects.amd.evaluation.tables import answers_table, results_table
from fastreid_projects.amd.evaluation.word_fit import People, fit_words
from fastreid_projects.amd.evaluation.word_measures import (
    curve_table,
    first_is_right,
    pooled_curve,
    reliability,
    said_to_differ,
    score_words,
    word_results,
    words_order_better,
    words_table,
)
from fastreid_projects.amd.explain.calibration_file import load_calibration
from fastreid_projects.data.attributes import DEMO, AttributeSet

IMAGES, D = 6, 8
# What the people below have: an attribute that f^k shows, one that nothing shows, one that two people have.
SHOWN, HIDDEN, RARE = 0, 1, 2
SET = AttributeSet("three", "", "", DEMO.attributes[:3])


def people(persons=40, seed=0, hidden="random"):
    """Images of persons; f^0 is long where attribute 0 is 1, the other f^k are as long as the person's own number."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, size=(persons, 3))
    labels[:, RARE] = np.arange(persons) < 2
    own = rng.uniform(1, 2, size=(persons, 3))
    if hidden == "by person":
        own[:, HIDDEN] = 1 + np.arange(persons) / persons
    who = np.repeat(np.arange(1, persons + 1), IMAGES)
    length = own[who - 1] + rng.normal(0, 0.02, size=(len(who), 3))
    length[:, SHOWN] = 1 + 2 * labels[who - 1, SHOWN] + rng.normal(0, 0.3, size=len(who))
    direction = np.ones(D) / np.sqrt(D)
    features = (length.T[:, :, None] * direction).astype(np.float32)
    place = rng.normal(0, 4, size=(persons, D))[who - 1] + rng.normal(0, 1, size=(len(who), D))
    return (
        torch.from_numpy(features),
        torch.from_numpy(place.astype(np.float32)),
        who,
        labels[who - 1].astype(np.int64),
    )


def labelled(**kwargs):
    features, embeddings, who, labels = people(**kwargs)
    return People(who, labels, ScoredFeatures(features, embeddings), np.arange(len(who)))


def run(persons=40, change=lambda labels: labels, seed=0, pids=None, **options):
    """An evaluation with a calibration; the evaluator's results and what the study has."""
    features, embeddings, who, labels = people(persons, seed)
    queries = np.arange(0, len(who), IMAGES)
    order = np.concatenate([queries, np.setdiff1d(np.arange(len(who)), queries)])
    who = who if pids is None else pids(who)
    explainer = SimpleNamespace(cosine=options.pop("cosine", False), attribute_set=SET)
    study = CalibrationStudy(explainer, "Set", lambda: "digest", **options.pop("files"))
    evaluator = AttributeEvaluator(len(queries), len(who), SET, studies=[study], **options)
    outputs = torch.cat([embeddings.unsqueeze(1), features.transpose(0, 1)], dim=1)[order]
    inputs = {
        "targets": torch.from_numpy(who[order]),
        "camids": torch.arange(len(who))[order] % IMAGES % 3,
        "attributes": torch.from_numpy(change(labels[order].copy())),
        "img_paths": [f"{i}.jpg" for i in order],
    }
    evaluator.process(inputs, outputs)
    return evaluator.evaluate(), explainer.calibration


def test_pairs_are_of_different_persons_and_of_one():
    rng, who = np.random.default_rng(0), np.array([5, 7, 5, 5, 9, 7])
    far = different_pairs(who, 500, rng)
    assert far.shape == (500, 2)
    assert (who[far[:, 0]] != who[far[:, 1]]).all()
    near = same_pairs(who, 500, rng)
    assert sorted(map(tuple, near.tolist())) == [(0, 2), (0, 3), (1, 5), (2, 3)]
    assert len(same_pairs(who, 2, rng)) == 2
    assert len(different_pairs(np.ones(4, int), 10, rng)) == 0
    lone = np.zeros(10_000, int)
    lone[5] = 1
    assert len(different_pairs(lone, 1000, rng)) < 100, "it ends where hardly a pair is of different persons"
    assert len(same_pairs(np.zeros(1000, int), 10**6, rng)) < 1000 * 999 / 2, (
        "a person of many images is bounded"
    )


def test_strangers_are_no_persons_but_the_first_person_of_a_folder_is_one():
    assert persons_of(np.array([3, 4, 0, -1, 3]), 2).tolist() == [0, 1, 4]
    assert persons_of(np.array([0, 4, 0, -1, 4]), 2).tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize("cosine", [False, True])
def test_distances_are_those_of_an_explanation(cosine):
    """Also of features in half precision that are less a centre."""
    generator = torch.Generator().manual_seed(0)
    features, embeddings = torch.randn(3, 9, D, generator=generator), torch.randn(9, D, generator=generator)
    centre = torch.randn(3, D, generator=generator)
    found = ScoredFeatures((features - centre[:, None]).half(), embeddings, centre, cosine=cosine)
    scale = embeddings.norm(dim=1) if cosine else torch.ones(9)
    scaled = features / scale[:, None]
    pairs = np.array([[0, 3], [8, 1]])
    whole, parts = found.distances(pairs)
    a, b = pairs.T
    expected = (embeddings / scale[:, None])[a] - (embeddings / scale[:, None])[b]
    assert whole == pytest.approx(expected.norm(dim=1).numpy(), rel=1e-5)
    assert parts == pytest.approx((scaled[:, a] - scaled[:, b]).norm(dim=2).T.numpy(), rel=1e-2)
    assert found.norms(np.array([4, 5])) == pytest.approx(scaled[:, 4:6].norm(dim=2).T.numpy(), rel=1e-2)


def test_distances_by_camera():
    features, embeddings, who, _ = people()
    cameras = np.arange(len(who)) % 2
    rng = np.random.default_rng(0)
    data = ScoredFeatures(features, embeddings)
    rows = np.arange(len(who))
    found = distance_scale("Set", data, who, cameras, rows, rng)
    assert found.same.pairs + found.same_camera.pairs == 40 * IMAGES * (IMAGES - 1) / 2
    assert found.different.pairs == found.different_camera.pairs + found.different_same_camera.pairs
    assert found.same.quantiles[-1] < found.different.quantiles[-1]
    unknown = distance_scale("Set", data, who, None, rows, rng)
    assert unknown.same.pairs == 40 * IMAGES * (IMAGES - 1) / 2
    assert (unknown.same_camera, unknown.different_camera, unknown.cameras) == (None, None, False)
    one = distance_scale("Set", data, np.ones_like(who), cameras, rows, rng)
    assert one.different is None
    assert one.same is not None


def test_what_the_features_show_is_told_of_people_held_out():
    data = labelled(persons=120)
    model, judged = fit_words(data)
    scores = {s.name: s for s in score_words(judged, SET.names, model.told > 0, data.enough())}
    shown, hidden, rare = (scores[SET.names[k]] for k in (SHOWN, HIDDEN, RARE))
    assert (shown.words, hidden.words, rare.words) == ("yes", "cannot be told", "too few people")
    assert shown.auc > 0.95
    assert shown.brier < 0.5 * shown.base_brier
    assert 0.3 < hidden.auc < 0.6
    assert model.told.tolist() == [1, 0, 0]


def test_knowing_people_by_heart_tells_nothing():
    """Each person's f^1 is as long as no other's: on the people themselves the label could be read off."""
    data = labelled(hidden="by person", seed=3)
    model, judged = fit_words(data)
    (score,) = [
        s
        for s in score_words(judged, SET.names, model.told > 0, data.enough())
        if s.name == SET.names[HIDDEN]
    ]
    assert score.auc < 0.65


def test_what_is_told_is_so_as_often_as_it_says():
    data = labelled(persons=80, seed=1)
    model, judged = fit_words(data)
    known = judged.differ[:, SHOWN] >= 0
    for pairs, said, so in reliability(judged.differ[known, SHOWN], judged.probability[known, SHOWN]):
        assert pairs < 500 or abs(said - so) < 0.1
    assert ((judged.probability >= 0) & (judged.probability <= 1)).all()
    assert (np.diff(model.so) >= 0).all()


def test_words_repeat_with_the_seed():
    first, second = (fit_words(labelled())[0] for _ in range(2))
    assert np.array_equal(first.weights, second.weights)
    assert np.array_equal(first.so, second.so)


def test_too_few_people_have_no_words():
    assert fit_words(labelled(persons=6)) is None


def test_unknown_labels_are_left_out():
    features, embeddings, who, labels = people()
    labels[: len(who) // 2, HIDDEN] = -1
    labels[:, RARE] = -1
    data = People(who, labels, ScoredFeatures(features, embeddings), np.arange(len(who)))
    model, judged = fit_words(data)
    assert (judged.differ[:, RARE] == -1).all()
    assert [s.name for s in score_words(judged, SET.names, model.told > 0, data.enough())] == list(
        SET.names[:2]
    )
    assert model.read.tolist() == [1, 1, 0]


def test_what_comes_first_is_counted():
    parts = np.array([[3.0, 1.0], [3.0, 1.0], [1.0, 2.0], [5.0, 1.0]])
    judged = SimpleNamespace(
        differ=np.array([[0, 1], [1, 0], [-1, 1], [1, 1]]),
        probability=np.array([[0.1, 0.9], [0.9, 0.1], [0.5, 0.5], [0.5, 0.5]]),
        parts=parts,
        distances=np.array([1.0, 2.0, 3.0, 4.0]),
        same=np.array([False, False, False, True]),
    )
    found = first_is_right(judged)
    assert found["first_by_share"] == pytest.approx(200 / 3)
    assert found["first_by_words"] == 100
    assert (found["first_by_share_near"], found["first_by_words_near"]) == (0, 100)
    assert found["random_first"] == pytest.approx(100 * (0.5 + 0.5 + 1) / 3)
    judged.same[:] = True
    assert first_is_right(judged) == {}


def test_no_pair_chooses_its_own_words(monkeypatch):
    """Which attributes have words is chosen by the other half of the people held out."""
    judge = word_fit._judge

    def wrong_of_odd_folds(data, folds, fold, scores, rng):
        judged = judge(data, folds, fold, scores, rng)
        return replace(judged, probability=1 - judged.probability) if fold % 2 else judged

    monkeypatch.setattr(word_fit, "_judge", wrong_of_odd_folds)
    _, judged = fit_words(labelled(persons=60))
    even, odd = judged.half(0), judged.half(1)
    assert (set(even.fold), set(odd.fold)) == ({0, 2, 4}, {1, 3, 5})
    assert not even.told.any(), "the odd half finds nothing to predict"
    assert odd.told[:, SHOWN].all()
    assert not odd.told[:, HIDDEN:].any()


def test_the_words_measured_are_those_that_others_chose():
    data = labelled(persons=60)
    model, judged = fit_words(data)
    told = np.zeros_like(judged.told)
    told[judged.fold == 3, SHOWN] = True
    scores = score_words(replace(judged, told=told), SET.names, model.told > 0, data.enough())
    known = (judged.fold == 3) & (judged.differ[:, SHOWN] >= 0)
    assert sum(pairs for pairs, _, _ in pooled_curve(scores)) == known.sum()
    assert said_to_differ(replace(judged, told=np.zeros_like(told))) == {}


def test_the_order_is_chosen_by_what_comes_first():
    judged = SimpleNamespace(
        differ=np.array([[0, 1], [1, 0]]),
        probability=np.array([[0.1, 0.9], [0.9, 0.1]]),
        parts=np.array([[3.0, 1.0], [3.0, 1.0]]),
        distances=np.array([1.0, 2.0]),
        same=np.array([False, False]),
    )
    assert words_order_better(judged)
    judged.probability = 1 - judged.probability
    assert not words_order_better(judged)
    judged.same[:] = True
    assert not words_order_better(judged)


def test_what_is_said_to_differ_is_counted_against_what_does():
    judged = SimpleNamespace(
        differ=np.array([[1, 0], [0, 1], [0, 0], [0, 0], [-1, 0]]),
        probability=np.array([[0.8, 0.9], [0.75, 0.9], [0.74, 0.9], [0.9, 0.9], [0.9, 0.0]]),
        same=np.array([False, False, True, True, False]),
        told=np.tile([True, False], (5, 1)),
    )
    found = said_to_differ(judged)
    assert found == {
        "words_right": pytest.approx(100 / 3),
        "random_words_right": 25,  # one of the four pairs with a label
        "words_of_one_person": 50,
        "random_words_of_one_person": pytest.approx(80),  # four of five pairs have the word
    }
    judged.told[:] = False
    assert said_to_differ(judged) == {}


@pytest.mark.parametrize("half", [False, True])
def test_an_evaluation_leaves_its_calibration(tmp_path, half):
    files = {"path": tmp_path / "calibration.json", "curves": tmp_path / "inference" / "words.csv"}
    results, found = run(files=files, half=half)
    assert results["words_AUC"] > 50 < results["first_by_words"]
    assert answers_table(results) in results_table(results)
    read = load_calibration(tmp_path / "calibration.json", "digest", ("Set",))
    assert read.scale.sentence(3.0, "3") == found.scale.sentence(3.0, "3")
    assert read.by_words == found.by_words
    assert json.dumps(read.measured) == json.dumps(found.measured)
    shown = read.parts[SHOWN]
    assert shown.different.quantiles[60] > shown.alike.quantiles[60]
    rows = list(csv.DictReader((tmp_path / "inference" / "words.csv").read_text().splitlines()))
    assert {row["attribute"] for row in rows} == set(SET.names)
    assert (tmp_path / "calibration.json").stat().st_size < 100_000


def test_a_set_without_attributes_still_calibrates_distances(tmp_path):
    results, found = run(files={"path": tmp_path / "c.json"}, change=lambda labels: np.full_like(labels, -1))
    assert not any(name.startswith(("words", "first")) for name in results)
    assert answers_table(results) == ""
    assert found.model is None
    assert "farther than" in found.scale.sentence(9.0, "9")
    assert all(part.alike is None and part.different is None for part in found.parts)
    assert load_calibration(tmp_path / "c.json", "digest").names == SET.names


def test_one_identity_only(tmp_path):
    _, found = run(files={"path": tmp_path / "c.json"}, pids=np.ones_like)
    assert found.scale.different is None
    assert found.model is None
    assert "false-match rate is not known" in found.scale.sentence(1.0, "1")


def test_where_nothing_can_be_told_nothing_is_measured_of_it():
    """Zero points off would be perfect."""
    data = labelled(persons=60)
    model, judged = fit_words(data)
    nothing = replace(judged, told=np.zeros_like(judged.told))
    scores = score_words(nothing, SET.names, np.zeros(3, bool), data.enough())
    assert word_results(scores)["words_told"] == 0
    assert "words_error" not in word_results(scores)
    assert curve_table(scores) == "no attribute can be told of people held out"
    assert "words_error" in word_results(score_words(judged, SET.names, model.told > 0, data.enough()))


def test_the_words_table_names_every_attribute():
    data = labelled()
    model, judged = fit_words(data)
    scores = score_words(judged, SET.names, model.told > 0, data.enough())
    table = words_table(scores, [a.topic for a in SET.attributes])
    assert all(a.topic in table for a in SET.attributes)
    assert "too few people" in table
