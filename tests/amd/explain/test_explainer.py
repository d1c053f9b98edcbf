"""Explaining a pair from files, arrays and pictures, without labels and with them."""

import io
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid_projects.amd.explain.calibration import Calibration, PartScale
from fastreid_projects.amd.explain.distance_scale import DistanceScale
from fastreid_projects.amd.explain.distribution import Distribution
from fastreid_projects.amd.explain.explainer import Explainer
from fastreid_projects.amd.explain.word_model import WordModel
from fastreid_projects.data.images import as_rgb
from fastreid_projects.errors import DataError
from tests.amd.conftest import INTERPRETER


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    paths = [folder / "a.png", folder / "b.png"]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (80, 40, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.fixture
def explainer(build_amd, tmp_path, monkeypatch, target_files):
    """Build it from only a config and a checkpoint, which holds its target."""
    weights = tmp_path / "amd.pth"
    torch.save({"model": build_amd().state_dict()}, weights)
    config = tmp_path / "amd.yml"
    config.write_text(
        f"_BASE_: {INTERPRETER}\nMODEL:\n  AMD:\n    TARGET:\n      CONFIG: {target_files[0]}\n"
    )
    return Explainer.from_config(str(config), str(weights))


def test_contributions_add_up_to_the_reconstructed_distance(explainer, pictures):
    pair = explainer.explain(*pictures)
    assert len(pair.contributions) == 26
    assert pair.reconstructed == pytest.approx(sum(c.value for c in pair.contributions))
    assert pair.reconstructed + pair.residual == pytest.approx(pair.distance)
    assert all(c.query_map.shape == (8, 4) for c in pair.contributions)


def test_shares_of_the_cells_add_up_to_each_contribution_and_to_the_distance(explainer, pictures):
    for flip, cosine in ((False, False), (True, False), (True, True)):
        scored = Explainer(explainer.model, explainer.transform, flip=flip, cosine=cosine)
        pair = scored.explain(*pictures)
        for c in pair.contributions:
            total = float(c.query_map.sum(dtype=float) + c.gallery_map.sum(dtype=float)) + c.rest
            assert total == pytest.approx(c.value, rel=1e-5, abs=1e-5 * pair.distance)
            assert cosine or abs(c.rest) < 1e-5 * pair.distance
        whole = pair.whole.query_map.sum(dtype=float) + pair.whole.gallery_map.sum(dtype=float)
        assert whole + pair.whole.rest == pytest.approx(pair.distance, rel=1e-5)


@pytest.mark.parametrize("options", [("MODEL.AMD.NECK_FEAT", "before"), ("MODEL.AMD.NORMALIZE", "True")])
def test_they_do_so_before_the_neck_and_with_features_divided_by_their_norm(
    build_amd, explainer, pictures, options
):
    pair = Explainer(build_amd(*options), explainer.transform, flip=True).explain(*pictures)
    for c in pair.contributions:
        total = float(c.query_map.sum(dtype=float) + c.gallery_map.sum(dtype=float)) + c.rest
        assert total == pytest.approx(c.value, rel=1e-4, abs=1e-5 * pair.distance)
    if options[0].endswith("NECK_FEAT"):
        assert max(abs(c.rest) for c in pair.contributions) < 1e-5 * pair.distance


def test_an_image_of_several_pairs_is_looked_at_once(explainer, pictures, monkeypatch, tmp_path):
    third = shutil.copy(pictures[0], tmp_path / "c.png")
    seen, encode = [], explainer.encode
    monkeypatch.setattr(
        explainer, "encode", lambda images, **kw: seen.append(len(images)) or encode(images, **kw)
    )
    a, b = pictures
    pairs = [(a, b), (a, third), (b, a), (third, third)]
    found = explainer.explain_pairs(pairs, batch_size=2)
    assert seen == [2, 1]
    alone = [explainer.explain(*pair) for pair in pairs]
    for one, other in zip(found, alone, strict=True):
        assert one.distance == pytest.approx(other.distance, rel=1e-4, abs=1e-4)
        np.testing.assert_allclose(
            one.contributions[0].query_map, other.contributions[0].query_map, rtol=1e-2, atol=1e-4
        )


def test_paths_pictures_and_arrays_are_alike(explainer, pictures):
    by_path = explainer.explain(*map(str, pictures))
    by_picture = explainer.explain(*[Image.open(path) for path in pictures])
    by_array = explainer.explain(*[np.asarray(Image.open(path)) for path in pictures])
    assert by_path.distance == by_picture.distance == by_array.distance
    assert by_path.query_name == str(pictures[0])


def test_the_distance_is_the_targets(explainer, pictures):
    pair = explainer.explain(*pictures)
    target = explainer.model.target.model
    images = torch.stack([explainer.transform(Image.open(path)) for path in pictures])
    with torch.no_grad():
        features = target(images)
    assert pair.distance == pytest.approx(float((features[0] - features[1]).norm()), rel=1e-5)


def test_words_depend_on_what_is_known(explainer, pictures):
    phrase = {c.name: c.phrase for c in explainer.explain(*pictures).contributions}["backpack"]
    assert phrase == "backpack differs"
    ones, zeros = [1] * 26, [0] * 26
    known = explainer.explain(*pictures, query_attributes=ones, gallery_attributes=zeros)
    assert {c.name: c.phrase for c in known.contributions}["backpack"] == "backpack: only the query has one"
    assert all(c.exclusive for c in known.contributions)


def test_the_same_picture_twice_is_at_distance_zero_and_alike(explainer, pictures, tmp_path):
    pair = explainer.explain(pictures[0], shutil.copy(pictures[0], tmp_path / "copy.png"))
    assert {c.phrase.split()[-1] for c in pair.contributions} == {"alike"}
    assert pair.distance == pytest.approx(0, abs=1e-4)
    assert pair.reconstructed == pytest.approx(0, abs=1e-3)


def calibration(explainer, *, by_words=False):
    """Return a calibration whose predictions depend only on the readouts."""
    m = len(explainer.attribute_set)
    model = WordModel(
        *(np.zeros(m), np.ones(m), np.eye(m), np.linspace(-2, 2, m), np.ones(m), np.zeros(m)),
        *(np.array([1.0, 0, 0, 0, 0]), np.zeros(1), np.array([0.0, 1.0]), np.array([0.0, 1.0])),
        *(np.ones(m), np.ones(m)),
    )
    far = Distribution.of(np.linspace(1e-3, 100, 99))
    scale, parts = DistanceScale("Set", different=far), (PartScale(far, far),) * m
    return Calibration(scale, explainer.attribute_set.names, parts, model, by_words)


def test_the_same_picture_twice_differs_in_nothing(explainer, pictures, tmp_path):
    explainer.calibration = calibration(explainer, by_words=True)
    copy = tmp_path / "copy.png"
    shutil.copy(pictures[0], copy)
    found = explainer.explain(pictures[0], copy).answer
    assert {word.verdict for word in found.words} == {"alike"}
    assert len(found.words) == 26
    assert found.false_match_rate == 0


def test_contributions_are_shown_in_the_order_that_has_earned_it(explainer, pictures):
    plain = explainer.explain(*pictures)
    assert plain.answer is None
    assert [c.value for c in plain.ranked] == sorted((c.value for c in plain.contributions), reverse=True)
    explainer.calibration = calibration(explainer)
    assert [c.name for c in explainer.explain(*pictures).ranked] == [c.name for c in plain.ranked]
    explainer.calibration = calibration(explainer, by_words=True)
    pair = explainer.explain(*pictures)
    probability = {word.name: word.probability for word in pair.answer.words}
    expected = sorted(pair.contributions, key=lambda c: -c.value * probability[c.name])
    assert [c.name for c in pair.ranked] == [c.name for c in expected]
    assert sum(pair.shares) == pytest.approx(1)
    assert pair.shares[0] == pytest.approx(pair.ranked[0].value / pair.reconstructed)


def test_flip_and_cosine_are_those_of_the_evaluation(explainer, pictures):
    """The host averages the outputs of an image and its mirror image; cosine compares directions."""
    model, images = explainer.model.eval(), explainer.load(pictures)
    with torch.no_grad():
        output = (model(images) + model(images.flip(3))) / 2
    whole, parts = output[:, 0], output[:, 1:]
    norms = whole.norm(dim=1)
    scored = Explainer(model, explainer.transform, flip=True, cosine=True)
    encoded = scored.encode(pictures)
    torch.testing.assert_close(scored.embed(pictures), whole / norms[:, None], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(encoded.embeddings, whole / norms[:, None], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(encoded.features, parts / norms[:, None, None], rtol=1e-4, atol=1e-6)
    plain, mirrored = (explainer.encode(x).attention for x in (images, images.flip(3)))
    torch.testing.assert_close(encoded.attention, (plain + mirrored.flip(3)) / 2, rtol=1e-4, atol=1e-6)


def test_pictures_of_every_mode_are_read_like_their_files(tmp_path):
    grey = np.linspace(0, 65535, 80 * 40).astype(np.uint16).reshape(80, 40)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    by_path = np.asarray(as_rgb(tmp_path / "grey.png"))
    assert np.array_equal(by_path, np.asarray(as_rgb(Image.open(tmp_path / "grey.png"))))
    assert len(np.unique(by_path)) == 256


@pytest.mark.parametrize("image", [None, io.BytesIO()])
def test_what_is_no_picture_is_told_by_its_type(image):
    with pytest.raises(DataError, match=f"not {type(image).__name__}"):
        as_rgb(image)


def test_labels_that_do_not_fit(explainer, pictures):
    with pytest.raises(DataError, match="attributes of the query have 3 values; they have to be 26"):
        explainer.explain(*pictures, query_attributes=[0, 1, 1])
    with pytest.raises(DataError, match="attributes of the gallery have the value 2"):
        explainer.explain(*pictures, gallery_attributes=[2] * 26)


def test_a_file_that_is_no_picture(explainer, pictures, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.jpg"):
        explainer.explain(pictures[0], broken)
