"""Pointing, deletion, insertion and counterfactuals on maps and models whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fastreid_projects.amd.evaluation.build import build_attribute_evaluator
from fastreid_projects.amd.evaluation.counterfactual import CounterfactualStudy, summarise
from fastreid_projects.amd.evaluation.deletion import DeletionStudy, choose_different, erased, importance
from fastreid_projects.amd.evaluation.faithfulness import points_into_mask
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
    """A "model" whose feature is the contrast of the upper half, and whose attention is there (or not)."""

    mean_colour = torch.full((3,), 128.0)

    def __init__(self, honest):
        self.honest = honest

    def load(self, paths):
        generator = torch.Generator().manual_seed(len(paths[0]))
        images = torch.full((2, 3, 32, 16), 128.0)
        images[0, :, 4:12] = 255 * torch.rand(3, 8, 16, generator=generator)
        return images

    def embed(self, images):
        return images[:, :, :16].flatten(1)

    def encode(self, images):
        attention = torch.full((2, 1, 8, 4), 0.1)
        rows = slice(1, 3) if self.honest else slice(5, 8)
        attention[:, :, rows] = 1.0
        return Encoded(self.embed(images), torch.tensor([[[1.0]], [[0.0]]]), attention)


def _evaluator(queries=4, gallery=6):
    pids = torch.cat([torch.arange(1, queries + 1), torch.arange(gallery)])
    camids = torch.arange(queries + gallery)
    paths = [f"{i}.jpg" for i in range(queries + gallery)]
    return SimpleNamespace(num_query=queries, pids=pids, camids=camids, paths=paths)


def test_honest_attention_deletes_early_and_inserts_early(tmp_path):
    honest = DeletionStudy(_TopOfImage(True), 8, tmp_path)(_evaluator(), torch.empty(0), {})
    wrong = DeletionStudy(_TopOfImage(False), 8)(_evaluator(), torch.empty(0), {})
    assert honest["deletion"] < honest["random_deletion"] < wrong["deletion"]
    assert honest["insertion"] > honest["random_insertion"] > wrong["insertion"]
    header, first, *_, last = (tmp_path / "deletion_curves.csv").read_text().splitlines()
    assert header.split(",")[:3] == ["share of the pixels", "deletion", "insertion"]
    assert [float(x) for x in first.split(",")] == [0, 100, 0, 100, 0]
    assert [float(x) for x in last.split(",")] == [1, 0, 100, 0, 100]


def test_pairs_show_different_people_and_no_strangers():
    evaluator = _evaluator(gallery=40)
    pairs = choose_different(evaluator, 200, torch.Generator().manual_seed(0))
    assert len(pairs) > 50
    for query, other in pairs:
        assert query < 4 <= other
        assert evaluator.pids[query] != evaluator.pids[other]
        assert evaluator.pids[other] > 0
    assert choose_different(_evaluator(gallery=1), 5, torch.Generator()) == []  # the stranger alone


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


def test_the_study_compares_with_another_image_of_the_same_person():
    seen = []

    class Reader:
        def encode(self, images):
            seen.append(images)
            features = torch.tensor([[1.0, 1.0], [1.0, 3.0], [0.0, 0.0]]).unsqueeze(2)
            return Encoded(torch.zeros(3, 1), features, torch.zeros(3, 2, 1, 1))

    def change(paths, number):
        assert paths == ["0.jpg", "1.jpg"]  # the third has no other image, the fourth one of its own camera
        assert number == 7
        yield SimpleNamespace(path="1.jpg", image="before", changed="after", attributes=(1,))

    evaluator = SimpleNamespace(
        num_query=4,
        pids=torch.tensor([1, 2, 3, 4, 2, 1, 2, 4]),
        camids=torch.tensor([0, 0, 0, 0, 0, 1, 2, 0]),
        paths=[f"{i}.jpg" for i in range(8)],
    )
    result = CounterfactualStudy(Reader(), change, 7)(evaluator, torch.empty(0), {})
    assert seen == [["before", "after", "6.jpg"]]
    assert result["counterfactual_rise"] == pytest.approx(100.0)
    assert result["counterfactual_first"] == 100.0


def test_nothing_to_change_gives_no_result():
    assert CounterfactualStudy(None, lambda paths, number: [], 5)(_evaluator(), torch.empty(0), {}) == {}


# Interpreters of other attributes than the dataset's


def test_masks_and_changes_are_those_of_the_interpreters_attributes_by_name(
    build_amd, amd_config, monkeypatch
):
    """The drawn people have Market-1501's 26 attributes; an interpreter with Duke's 23 shares some names."""
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
