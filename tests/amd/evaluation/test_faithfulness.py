"""Pointing, deletion, insertion and counterfactuals on maps and models whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fastreid_projects.amd.evaluation import counterfactual
from fastreid_projects.amd.evaluation.build import build_attribute_evaluator
from fastreid_projects.amd.evaluation.counterfactual import CounterfactualStudy, summarise
from fastreid_projects.amd.evaluation.deletion import CURVES_FILE, DeletionCurves, erased
from fastreid_projects.amd.evaluation.faithfulness import MaskShares, points_into_mask
from fastreid_projects.amd.evaluation.kinds import ATTRIBUTE_KINDS, KINDS, PairKinds, importance
from fastreid_projects.amd.evaluation.map_study import MapStudy, choose_different, measure_masks
from fastreid_projects.amd.explain.explainer import Explainer
from fastreid_projects.amd.explain.pairs import Encoded
from fastreid_projects.data.attributes import DEMO, DUKEMTMC
from fastreid_projects.data.demo.counterfactual import Counterfactual
from fastreid_projects.data.demo.dataset import DemoReID


def test_pointing_game_by_hand():
    attention = torch.zeros(2, 4, 2)
    attention[0, 0, 0] = attention[1, 3, 1] = 1.0
    masks = torch.zeros(2, 64, 32, dtype=torch.bool)
    masks[:, :32] = True
    assert points_into_mask(attention, masks).tolist() == [True, False]


# Deletion and insertion


def test_erasing_goes_from_the_most_attended_to_the_least():
    images = 255 * torch.rand(1, 3, 16, 8, generator=torch.Generator().manual_seed(0))
    maps = torch.linspace(1, 0, 16).view(1, 16, 1).expand(1, 16, 8)  # attention falls from top to bottom
    grey = torch.tensor([128.0, 120.0, 110.0])
    curve = erased(images, maps, grey, steps=4)
    assert torch.equal(curve[0], images)
    assert torch.equal(curve[1, :, :, 4:], images[:, :, 4:])
    assert torch.equal(curve[1, 0, :, :4], grey.view(3, 1, 1).expand(3, 4, 8))
    back = erased(images, maps, grey, steps=4, keep=True)
    assert torch.equal(back[4], images)
    assert torch.equal(back[1, :, :, :4], images[:, :, :4])
    torch.testing.assert_close(back[0], curve[4])


def test_importance_weighs_normalised_maps_by_their_shares():
    features = torch.tensor([[[3.0], [0.0]], [[0.0], [1.0]]])  # d^k = 3, 1
    attention = torch.tensor([[[[10.0, 30.0]], [[1.0, 0.0]]]]).expand(2, 2, 1, 2)
    found = importance(Encoded(torch.zeros(2, 1), features, attention))
    assert found[0].tolist() == [[pytest.approx(0.75 * 0.5 + 0.25 * 2), pytest.approx(0.75 * 1.5)]]


class _TopOfImage:
    """A "model" whose feature is the contrast of the upper half."""

    mean_colour = torch.full((3,), 128.0)

    def embed(self, images):
        return images[:, :, :16].flatten(1)


def _evaluator(queries=4, gallery=6):
    pids = torch.cat([torch.arange(1, queries + 1), torch.arange(gallery)])
    camids = torch.arange(queries + gallery)
    paths = [f"{i}.jpg" for i in range(queries + gallery)]
    return SimpleNamespace(num_query=queries, pids=pids, camids=camids, paths=paths)


def test_honest_maps_delete_early_and_insert_early(tmp_path):
    images = torch.full((2, 3, 32, 16), 128.0)
    images[0, :, 4:12] = 255 * torch.rand(3, 8, 16, generator=torch.Generator().manual_seed(0))
    honest, wrong = torch.zeros(2, 8, 4), torch.zeros(2, 8, 4)
    honest[:, 1:3] = wrong[:, 5:8] = 1.0
    curves = DeletionCurves()
    random = torch.rand(2, 8, 4, generator=torch.Generator().manual_seed(1))
    curves.add(_TopOfImage(), images, {"honest": honest, "random": random, "wrong": wrong})
    found = curves.compute()
    assert found["honest_deletion"] < found["random_deletion"] < found["wrong_deletion"]
    assert found["honest_insertion"] > found["random_insertion"] > found["wrong_insertion"]
    curves.write(tmp_path)
    header, first, *_, last = (tmp_path / CURVES_FILE).read_text().splitlines()
    assert header.split(",")[:3] == ["share of the pixels", "honest deletion", "honest insertion"]
    assert [float(x) for x in first.split(",")] == [0, 100, 0, 100, 0, 100, 0]
    assert [float(x) for x in last.split(",")] == [1, 0, 100, 0, 100, 0, 100]


def test_pairs_show_different_people_and_no_strangers():
    evaluator = _evaluator(gallery=40)
    pairs = choose_different(evaluator, 200, torch.Generator().manual_seed(0))
    assert len(pairs) > 50
    for query, other in pairs:
        assert query < 4 <= other
        assert evaluator.pids[query] != evaluator.pids[other]
        assert evaluator.pids[other] > 0
    assert choose_different(_evaluator(gallery=1), 5, torch.Generator()) == []  # the stranger alone


# Maps of every kind, and masks


def test_density_and_pointing_by_hand():
    masks = torch.zeros(2, 8, 4, dtype=torch.bool)
    masks[:, :4] = True
    maps = torch.zeros(3, 8, 4)
    maps[0, :4], maps[1, 4:] = 1.0, 1.0  # all inside, all outside; the third marks nothing
    shares = MaskShares()
    shares.add("a_{}_b", maps, masks[[0, 0, 0]])
    found = shares.compute()
    assert found == {
        "a_density_b": pytest.approx(1.0),
        "a_pointing_b": pytest.approx(50.0),
        "a_area_b": pytest.approx(50.0),
    }
    shares.add("none", maps[:0], masks[:0])
    assert set(shares.compute()) == set(found)


def test_masks_are_those_of_what_an_image_shows_and_of_what_it_alone_shows():
    """Of five attributes: only a has it, both, nobody knows of b, hidden in a, b shows its place without having it."""
    labels = torch.tensor([[1, 1, 1, 1, 1], [0, 1, -1, 0, 0]])
    masks = torch.ones(2, 5, 8, 4, dtype=torch.bool)
    masks[0, 3] = False
    masks[1, 0] = False
    masks[:, :, 4:] = False
    asked, taken = [], {}

    class Kinds:
        def attributes(self, kind, chosen):
            asked.append(chosen)
            return torch.arange(1.0, 6.0)[chosen].view(1, -1, 1, 1).expand(2, -1, 2, 1)

    class Shares:
        def add(self, name, maps, masks):
            taken.setdefault(name, []).append((maps[:, 0, 0].tolist(), masks.shape))

    measure_masks(Shares(), Kinds(), masks, labels)
    assert asked == [[0, 1, 2, 4]] * len(ATTRIBUTE_KINDS)
    assert [values for values, _ in taken["attention_{}_shown"]] == [[1, 2, 3, 5], [2]]
    assert [values for values, _ in taken["attention_{}_alone"]] == [[1], []]
    assert [values for values, _ in taken["attention_{}_differs"]] == [[1, 5], []]
    assert all(shape[1:] == (8, 4) for rows in taken.values() for _, shape in rows)


@pytest.fixture
def explainer(build_amd):
    return Explainer(build_amd(), None)


def _images():
    return 255 * torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(2))


def test_maps_of_a_pair_by_kind(explainer):
    kinds = PairKinds(explainer, _images(), torch.Generator().manual_seed(0))
    features, embeddings = kinds.encoded.features, kinds.encoded.embeddings
    parts = (features[0] - features[1]).norm(dim=1)
    whole = (embeddings[0] - embeddings[1]).norm()
    for kind in ATTRIBUTE_KINDS:
        assert kinds.attributes(kind, [3, 5]).shape[:2] == (2, 2)
        assert kinds.attributes(kind, []).shape[:2] == (2, 0)
    shares = kinds.attributes("contribution", [3, 5]).sum(dim=(0, 2, 3))
    torch.testing.assert_close(shares, parts[[3, 5]], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(kinds.total("contribution").sum(), parts.sum(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(kinds.total("distance").sum(), whole, rtol=1e-4, atol=1e-4)
    each = kinds.attributes("gradient", range(26))
    torch.testing.assert_close(each.sum(dim=1), kinds.total("gradient"), rtol=1e-3, atol=1e-3)


def test_gradients_are_those_of_a_shift_of_the_shared_map(explainer):
    """Scaling the shared map of image a changes d^k by the sum of its gradient x activation."""
    model, images = explainer.model, _images()
    found = PairKinds(explainer, images, torch.Generator()).attributes("gradient", [7])[0, 0].sum()
    x = model.preprocess_image(images)
    stages = model.target.stages[: model.target.shared_stages]

    def part(scale):
        maps = [x]
        for stage in stages:
            maps.append(stage(maps[-1]))
        maps[-1] = torch.cat([scale * maps[-1][:1], maps[-1][1:]])
        features = model.eval().attribute_features(*model.attend(x, maps[1:]))
        return (features[0, 7] - features[1, 7]).norm().double()

    with torch.no_grad():
        slope = (part(1.01) - part(0.99)) / 0.02
    assert float(found) == pytest.approx(float(slope), rel=0.05, abs=1e-3)


def test_the_study_measures_every_kind(explainer, tmp_path, monkeypatch):
    monkeypatch.setattr(explainer, "load", lambda paths: _images())
    masks = np.zeros((26, 8, 4), dtype=bool)
    masks[:, :4] = True
    evaluator = _evaluator()
    evaluator.attributes = torch.tensor([[1] * 26] * 4 + [[0] * 26] * 6)
    found = MapStudy(explainer, 2, lambda path: masks, tmp_path)(evaluator, torch.empty(0), {})
    for kind in KINDS:
        assert {f"{kind}_deletion", f"{kind}_insertion"} <= set(found)
    for kind in ATTRIBUTE_KINDS:
        for which in ("differs", "shown"):
            assert found[f"{kind}_density_{which}"] >= 0
            assert 0 <= found[f"{kind}_pointing_{which}"] <= 100
    assert (tmp_path / CURVES_FILE).is_file()
    assert "random_density_differs" not in MapStudy(explainer, 2)(evaluator, torch.empty(0), {})


# Counterfactuals


def test_rises_by_hand():
    """Changed attribute 1 of 4 rises by 0.5, the others by 0.1; then both changed ones stay below another."""
    result = summarise(
        [(torch.tensor([0.1, 0.5, 0.1, 0.1]), (1,)), (torch.tensor([0.0, 0.2, 0.4, 0.0]), (0, 1))]
    )
    assert result["counterfactual_rise"] == pytest.approx(100 * (0.5 + 0.1) / 2)
    assert result["counterfactual_rise_others"] == pytest.approx(100 * (0.1 + 0.2) / 2)
    assert result["counterfactual_first"] == pytest.approx(50)
    assert result["random_counterfactual_first"] == pytest.approx(100 * (1 / 4 + 2 / 4) / 2)


def test_the_study_compares_with_another_image_of_the_same_person(monkeypatch):
    seen, masks = [], []
    before, after = np.zeros((8, 4, 3), np.uint8), np.zeros((8, 4, 3), np.uint8)
    after[:4] = 200

    class Reader:
        def load(self, images):
            seen.append(images)
            return torch.zeros(3, 3, 8, 4)

        def encode(self, images):
            features = torch.tensor([[1.0, 1.0], [1.0, 3.0], [0.0, 0.0]]).unsqueeze(2)
            return Encoded(torch.zeros(3, 1), features, torch.zeros(3, 2, 1, 1))

    class Kinds:
        def __init__(self, explainer, images, generator):
            assert len(images) == 2

        def attributes(self, kind, chosen):
            masks.append(chosen)
            return torch.tensor([[[[1.0], [-5.0]]]]).expand(2, 1, 2, 1)

    def change(paths, number):
        assert paths == ["0.jpg", "1.jpg"]  # the third has no other image, the fourth one of its own camera
        assert number == 7
        yield SimpleNamespace(path="1.jpg", image=before, changed=after, attributes=(1,))

    monkeypatch.setattr(counterfactual, "PairKinds", Kinds)
    evaluator = SimpleNamespace(
        num_query=4,
        pids=torch.tensor([1, 2, 3, 4, 2, 1, 2, 4]),
        camids=torch.tensor([0, 0, 0, 0, 0, 1, 2, 0]),
        paths=[f"{i}.jpg" for i in range(8)],
    )
    result = CounterfactualStudy(Reader(), change, 7)(evaluator, torch.empty(0), {})
    assert seen == [[before, after, "6.jpg"]]
    assert masks == [(1,)] * len(ATTRIBUTE_KINDS)
    assert result["counterfactual_rise"] == pytest.approx(100.0)
    assert result["counterfactual_first"] == 100.0
    assert result["contribution_density_changed"] > 5  # what is below 0 marks nothing
    assert result["contribution_pointing_changed"] == 100.0


def test_nothing_to_change_gives_no_result():
    assert CounterfactualStudy(None, lambda paths, number: [], 5)(_evaluator(), torch.empty(0), {}) == {}


# Interpreters of other attributes than the dataset's


def test_masks_and_changes_are_those_of_the_interpreters_attributes_by_name(
    build_amd, amd_config, monkeypatch
):
    """The synthetic demo set has Market-1501's 26 attributes; an interpreter with Duke's 23 shares some names."""
    own = np.arange(26)[:, None, None] * np.ones((26, 2, 2), dtype=int)
    picture = np.zeros((2, 2, 3), np.uint8)
    swapped = ((DEMO.index("upyellow"), DEMO.index("upred")), (DEMO.index("hair"),), (DEMO.index("hat"),))
    cases = [Counterfactual("a.jpg", picture, picture, positions) for positions in swapped]
    monkeypatch.setattr(DemoReID, "attribute_masks", staticmethod(lambda path: own))
    monkeypatch.setattr(DemoReID, "counterfactuals", staticmethod(lambda paths, number: cases))
    items = [("a.jpg", 1, 0), ("b.jpg", 1, 1)]
    loader = SimpleNamespace(dataset=type("Images", (list,), {"img_items": items})(items))
    opts = ("MODEL.AMD.ATTRIBUTES", "dukemtmc")
    evaluator = build_attribute_evaluator(build_amd(*opts), amd_config(*opts), "DemoReID", loader, 1)
    masks = evaluator.mask_attention.read_masks("a.jpg")
    assert masks.shape == (23, 2, 2)
    assert masks[DUKEMTMC.index("hat")].max() == DEMO.index("hat")
    assert masks[DUKEMTMC.index("boots")].max() == 0
    (study,) = [study for study in evaluator.studies if isinstance(study, CounterfactualStudy)]
    changed = [case.attributes for case in study.change(["a.jpg"], 3)]
    assert changed == [(DUKEMTMC.index("upred"),), (DUKEMTMC.index("hat"),)]
