"""tools/explain.py: a pair, a folder, a dataset; what it writes is whole, adds up and repeats; what it refuses."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.market1501 import Market1501
from fastreid.data.transforms import build_transforms

from fastreid_projects.amd.build import save_target_config
from fastreid_projects.amd.evaluation.evaluator import AttributeEvaluator
from fastreid_projects.amd.explain import files as explanation_files
from fastreid_projects.amd.explain import search as search_module
from fastreid_projects.amd.explain import sources
from fastreid_projects.amd.explain.average_attention import average_attention
from fastreid_projects.amd.explain.average_contributions import average_contributions
from fastreid_projects.amd.explain.calibration import Calibration, PartScale
from fastreid_projects.amd.explain.calibration_file import interpreter_digest, save_calibration
from fastreid_projects.amd.explain.distance_scale import DistanceScale
from fastreid_projects.amd.explain.distribution import Distribution
from fastreid_projects.amd.explain.explainer import Explainer, build_explainer, explained_config
from fastreid_projects.amd.explain.files import Explanation, write_explanation
from fastreid_projects.amd.explain.search import features_key, search
from fastreid_projects.amd.explain.sources import Photo, read_source
from fastreid_projects.commands.table import run_command
from fastreid_projects.config import load_config
from fastreid_projects.data.attributes import MARKET1501
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.retrieval.rank_lists import Found, check_ranking, choose_queries
from tests.amd.conftest import INTERPRETER


def explain(words):
    return run_command("explain", words, "explain.py")


@pytest.fixture
def tool(build_amd, tmp_path, target_files, tiny_market):
    """Run the tool on an untrained interpreter and a tiny Market-1501; gives its exit code."""
    tiny_market(ids=2, test_ids=4, cameras=2, images=2)
    weights = tmp_path / "amd.pth"
    torch.save({"model": build_amd().state_dict()}, weights)
    own = [
        "MODEL.AMD.TARGET.CONFIG",
        target_files[0],
        "MODEL.DEVICE",
        "cpu",
        "DATASETS.TESTS",
        "('Market1501',)",
    ]

    def call(*args, config=INTERPRETER, opts=(), weights=weights):
        output = ["OUTPUT_DIR", str(tmp_path / "run")]
        return explain(["--config-file", config, "--weights", str(weights), *args, *own, *output, *opts])

    call.folder = tmp_path / "run" / "explain"
    call.images = tmp_path / "data" / "Market-1501-v15.09.15"
    call.weights = weights
    call.opts = own
    return call


def report(tool):
    return json.loads((tool.folder / "report.json").read_text())


def test_a_pair_of_files(tool):
    a, b = sorted(tool.images.rglob("*.jpg"))[:2]
    assert tool("--query", str(a), "--gallery", str(b), "--attributes", "3") == 0
    data = report(tool)
    (pair,) = data["pairs"]
    assert (pair["query"], pair["gallery"]) == (str(a), str(b))
    assert sum(c["value"] for c in pair["contributions"]) == pytest.approx(pair["reconstructed"])
    assert pair["reconstructed"] + pair["residual"] == pytest.approx(pair["distance"])
    folder = tool.folder / "pairs" / "001"
    shares = np.load(folder / "contributions.npy")
    assert shares.shape == (2, 26, 8, 4)
    values = {c["name"]: c["value"] for c in pair["contributions"]}
    for k, name in enumerate(MARKET1501.names):
        assert shares[:, k].sum() == pytest.approx(values[name], rel=1e-4, abs=1e-4)
    assert shares.sum() == pytest.approx(pair["reconstructed"], rel=1e-4)
    assert np.load(folder / "distance.npy").sum() == pytest.approx(pair["distance"], rel=1e-4)
    top = pair["contributions"][0]["name"]
    assert (folder / f"1_{top}_query.png").is_file()
    assert len(list(folder.glob("*.png"))) == 2 + 2 + 2 * 3
    assert 'src="http' not in (tool.folder / "report.html").read_text()


def calibrated(tool, weights=None, names=MARKET1501.names):
    """Keep a calibration beside the tool's weights; gives its path."""
    cfg = explained_config(INTERPRETER, str(weights or tool.weights), tool.opts)
    digest = interpreter_digest(build_explainer(cfg).model, cfg)
    far = Distribution.of(np.linspace(0.1, 1000, 500))
    scale, parts = DistanceScale("Market1501", different=far), (PartScale(),) * len(names)
    path = tool.weights.with_name("calibration.json")
    save_calibration(path, digest, Calibration(scale, names, parts))
    return path


def test_a_calibrated_run_says_what_a_distance_means(tool):
    path = calibrated(tool)
    a, b = sorted(tool.images.rglob("*.jpg"))[:2]
    assert tool("--query", str(a), "--gallery", str(b)) == 0
    data = report(tool)
    answer = data["pairs"][0]["answer"]
    assert "pairs of different persons" in answer["sentence"]
    assert 0 <= answer["false_match_rate"] <= 1
    assert answer["words"] == []
    assert data["notes"] == [
        "What a distance and a contribution mean was measured on the people in Market1501, not on those shown here."
    ]
    assert tool("--top-k", "2", "--queries", "1") == 0
    assert report(tool)["notes"] == [
        "What a distance and a contribution mean was measured on the people in Market1501."
    ]
    explainer = Explainer.from_config(INTERPRETER, str(tool.weights), tool.opts)
    assert explainer.explain(a, b).answer.sentence == answer["sentence"]
    path.unlink()
    assert Explainer.from_config(INTERPRETER, str(tool.weights), tool.opts).explain(a, b).answer is None


def test_what_is_evaluated_and_reported_does_not_part_a_calibration_from_its_weights(tool):
    calibrated(tool)
    a, b = sorted(tool.images.rglob("*.jpg"))[:2]
    opts = ("MODEL.AMD.REPORT.PAIRS", "3", "MODEL.AMD.TEST.GAMMA", "2.0", "MODEL.AMD.TEST.HALF", "False")
    assert tool("--query", str(a), "--gallery", str(b), opts=opts) == 0
    assert report(tool)["pairs"][0]["answer"] is not None
    assert tool("--query", str(a), "--gallery", str(b), opts=("TEST.METRIC", "cosine")) == 0
    assert report(tool)["pairs"][0]["answer"] is None


def test_without_a_calibration_of_these_weights_it_explains_and_says_what_makes_one(tool, capsys):
    a, b = sorted(tool.images.rglob("*.jpg"))[:2]
    assert tool("--query", str(a), "--gallery", str(b)) == 0
    (pair,) = report(tool)["pairs"]
    assert pair["answer"] is None
    assert len(pair["contributions"]) == len(MARKET1501)
    assert "the run has no calibration" in report(tool)["notes"][0]
    command = f"fastreid-projects train --config-file {INTERPRETER} --eval-only MODEL.WEIGHTS {tool.weights}"
    assert command in capsys.readouterr().out
    other = tool.weights.with_name("other.pth")
    state = torch.load(tool.weights)
    state["model"]["head.decompose.bias"] += 1
    torch.save(state, other)
    calibrated(tool, other)
    assert tool("--query", str(a), "--gallery", str(b)) == 0
    assert report(tool)["pairs"][0]["answer"] is None
    assert "made with other weights or another config" in report(tool)["notes"][0]
    calibrated(tool, names=())
    assert tool("--query", str(a), "--gallery", str(b)) == 0
    assert "other attributes" in report(tool)["notes"][0]


def test_the_papers_attention_is_an_option(tool):
    a, b = sorted(tool.images.rglob("*.jpg"))[:2]
    assert tool("--query", str(a), "--gallery", str(b), "--maps", "attention") == 0
    folder = tool.folder / "pairs" / "001"
    assert (np.load(folder / "attention.npy") > 0).all()
    assert not (folder / "contributions.npy").exists()
    data = report(tool)
    assert data["maps"] == data["pairs"][0]["maps"] == "attention"
    assert "from" not in data["pairs"][0]["contributions"][0]
    assert "where the interpreter looked" in (tool.folder / "report.html").read_text()


def test_any_model_is_explained_without_attributes(tool, target_files):
    """The distance, where it comes from, and the same ranking; no word of attributes."""
    a, b = sorted(tool.images.rglob("*.jpg"))[:2]
    own = {"config": target_files[0], "weights": target_files[1]}
    assert tool("--query", str(a), "--gallery", str(b), **own) == 0
    (alone,) = report(tool)["pairs"]
    folder = tool.folder / "pairs" / "001"
    assert alone["contributions"] == []
    assert {f.name for f in folder.iterdir()} == {
        *("query.png", "gallery.png", "distance_query.png", "distance_gallery.png", "distance.npy")
    }
    assert np.load(folder / "distance.npy").sum() == pytest.approx(alone["distance"], rel=1e-4)
    html = (tool.folder / "report.html").read_text().partition("<script")[0]
    assert "attribute" not in html
    assert alone["from"]["printed_query"] in html
    assert tool("--query", str(a), "--gallery", str(b)) == 0
    assert alone["distance"] == pytest.approx(report(tool)["pairs"][0]["distance"], rel=1e-5)


def test_any_model_searches_a_dataset(tool, target_files, capsys):
    own = {"config": target_files[0], "weights": target_files[1]}
    assert tool("--top-k", "2", "--queries", "2", **own) == 0
    data = report(tool)
    assert 0 <= data["Rank-1"] <= 100
    assert len(data["pairs"]) == 4
    assert tool("--average-maps", **own) != 0
    assert "which only an interpreter has" in capsys.readouterr().err


def test_a_dataset_gives_the_evaluations_rank_1(tool, amd_config):
    """By the rank lists in the report and by the evaluation of the same weights."""
    assert tool("--top-k", "3", "--queries", "3") == 0
    data = report(tool)
    counted = [entry for entry in data["ranking"] if entry["counts"]]
    recomputed = 100 * np.mean([entry["ranked"][0]["right"] for entry in counted])
    assert data["Rank-1"] == pytest.approx(recomputed)
    page = (tool.folder / "report.html").read_text()
    assert f'<td class="number">{recomputed:.2f}</td><td class="number chance">' in page
    assert 0 < float(re.search(r'class="number chance">([^<]*)', page)[1]) < 100
    cfg = amd_config("DATASETS.TESTS", "('Market1501',)", "MODEL.WEIGHTS", str(tool.weights))
    model = Explainer.from_config(INTERPRETER, str(tool.weights), tool.opts).model
    dataset = read_source("Market1501", "query", MARKET1501), read_source("Market1501", "gallery", MARKET1501)
    photos = [photo for part in dataset for photo in part]
    evaluator = AttributeEvaluator(len(dataset[0]), len(photos), MARKET1501, half=False)
    explainer = Explainer(model, build_transforms(cfg, is_train=False))
    for photo in photos:
        encoded = explainer.encode([photo.path])
        evaluator.process(
            {
                "targets": torch.tensor([photo.pid]),
                "camids": torch.tensor([photo.camid]),
                "attributes": torch.tensor([photo.attributes]),
                "img_paths": [photo.path],
            },
            torch.cat([encoded.embeddings.unsqueeze(1), encoded.features], dim=1),
        )
    assert evaluator.evaluate()["target_Rank-1"] == pytest.approx(data["Rank-1"])


def test_same_camera_images_of_the_query_are_left_out(tool):
    assert tool("--top-k", "9") == 0
    for entry in report(tool)["ranking"]:
        pid, camera = entry["query"].split("/")[-1].split("s1")[0].split("_")
        found = [ranked["gallery"].split("/")[-1] for ranked in entry["ranked"]]
        assert len(found) == 9
        assert not any(name.startswith(f"{pid}_{camera}") for name in found)
        distances = [ranked["distance"] for ranked in entry["ranked"]]
        assert distances == sorted(distances)
        assert [r["right"] for r in entry["ranked"]] == [name.startswith(pid) for name in found]


@pytest.mark.parametrize("people", ["Other", "Market1501"])
def test_identities_count_within_the_people_of_one_dataset(tool, monkeypatch, people):
    """0002 of one dataset is not 0002 of another; unless a dataset says that it shows another one's people."""
    monkeypatch.setitem(DATASET_REGISTRY._obj_map, "Other", type("Other", (Market1501,), {"people": people}))
    assert tool("--gallery", "Other", "--top-k", "3", "--queries", "1") == 0
    data, page = report(tool), (tool.folder / "report.html").read_text()
    marks = {ranked["right"] for entry in data["ranking"] for ranked in entry["ranked"]}
    note = "The identities in Market1501 and Other are not comparable"
    if people == "Market1501":
        assert marks <= {True, False}
        assert ("Rank-1" in data, len(data["notes"]), note in page) == (
            True,
            1,
            False,
        )  # nor a calibration
    else:
        assert marks == {None} == {pair["same_identity"] for pair in data["pairs"]}
        assert not any(entry["counts"] for entry in data["ranking"])
        assert ("Rank-1" in data, len(data["notes"]), note in page) == (False, 2, True)


def test_the_drawn_people_are_known_in_both_of_their_boxes():
    people = {n: DATASET_REGISTRY.get(n).people for n in ("DemoReID", "DemoReIDB", "DemoReIDMisaligned")}
    assert people["DemoReID"] == people["DemoReIDMisaligned"] != people["DemoReIDB"]


def test_same_camera_images_count_where_the_data_have_no_cameras(tool):
    """With TEST.SAME_CAMERA as in the evaluation: each query finds itself."""
    query = next((tool.images / "query").glob("*.jpg"))
    for camera in "12":
        name = f"{query.name[:4]}_c{camera}s1_000099_00.jpg"
        shutil.copy(query, tool.images / "bounding_box_test" / name)
    assert tool("--top-k", "2", opts=("TEST.SAME_CAMERA", "True")) == 0
    data = report(tool)
    assert all(entry["counts"] for entry in data["ranking"])
    (found,) = [entry["ranked"] for entry in data["ranking"] if entry["query"] == str(query)]
    assert [ranked["right"] for ranked in found] == [True, True]
    assert {Path(ranked["gallery"]).name[4:7] for ranked in found} == {"_c1", "_c2"}


def test_a_list_shorter_than_asked_for_says_why(tool):
    """One query's gallery is all junk, the other's has a person left: neither fills its list."""
    for path in [*(tool.images / "bounding_box_test").iterdir(), *(tool.images / "query").iterdir()]:
        if not path.name.startswith(("0004_c1", "0005_c1")) or path.name.startswith("0005_c1s1_000002"):
            path.unlink()
    assert tool("--top-k", "1") == 0
    assert sorted(len(entry["ranked"]) for entry in report(tool)["ranking"]) == [0, 1]
    page = (tool.folder / "report.html").read_text()
    assert page.count("Only 0 of --top-k 1 images") == 1
    assert page.count('class="asked zoom"') == 2


def test_a_folder_is_searched_by_name_alone(tool):
    query = sorted((tool.images / "query").glob("*.jpg"))[0]
    assert (
        tool("--query", str(query), "--gallery", str(tool.images / "bounding_box_test"), "--top-k", "2") == 0
    )
    data = report(tool)
    assert len(data["pairs"]) == 2
    assert "Rank-1" not in data
    assert all(r["right"] is None for r in data["ranking"][0]["ranked"])
    assert all(c["phrase"].endswith(("differs", "differ")) for c in data["pairs"][0]["contributions"])


def test_the_gallery_is_looked_at_once(tool, monkeypatch):
    looked = []
    original = search_module.embed_all
    monkeypatch.setattr(
        search_module, "embed_all", lambda e, paths, what: looked.append(what) or original(e, paths, what)
    )
    assert tool("--top-k", "2") == 0
    first = report(tool)
    assert tool("--top-k", "2") == 0
    assert looked == ["gallery", "queries", "queries"]
    assert report(tool) == first
    next((tool.images / "bounding_box_test").glob("*.jpg")).touch()
    assert tool("--top-k", "2") == 0
    assert looked[3:] == ["gallery", "queries"]


def test_the_index_belongs_to_all_that_changes_a_feature(amd_config, target_files, tmp_path):
    weights = tmp_path / "amd.pth"
    weights.write_bytes(b"weights")
    other = load_config(target_files[0], ["MODEL.HEADS.POOL_LAYER", "GlobalAvgPool"])
    (tmp_path / "other.yaml").write_text(other.dump())
    changes = [
        (),
        ("MODEL.AMD.NORMALIZE", "True"),
        ("MODEL.AMD.NECK_FEAT", "before"),
        ("INPUT.SIZE_TEST", "[256, 128]"),
        ("TEST.METRIC", "cosine"),
        ("TEST.FLIP.ENABLED", "True"),
        ("MODEL.AMD.TARGET.CONFIG", str(tmp_path / "other.yaml")),
    ]
    keys = [features_key(amd_config("MODEL.WEIGHTS", str(weights), *opts)) for opts in changes]
    assert len(set(keys)) == len(changes)
    assert features_key(amd_config("MODEL.WEIGHTS", str(weights))) == keys[0]
    weights.write_bytes(b"others")
    assert features_key(amd_config("MODEL.WEIGHTS", str(weights))) != keys[0]


def test_compressed_hits_are_ordered_by_their_whole_features(monkeypatch):
    """A compressed index says which are near; how near, the features of the images themselves say."""
    features = {"q": [0.0, 0.0], "a": [3.0, 4.0], "b": [1.0, 0.0], "c": [9.0, 9.0], "d": [0.0, 2.0]}
    looked = []
    monkeypatch.setattr(
        search_module,
        "embed_all",
        lambda e, paths, what: looked.append(paths) or np.array([features[p] for p in paths], np.float32),
    )
    gallery = [Photo(name, pid, 1, ()) for name, pid in zip("abcd", (1, 2, 3, 4), strict=True)]

    class Compressed:
        exact = False

        def search(self, queries, k):
            assert k == 3
            return np.array([[0.1, 0.2, 0.3]], np.float32), np.array([[0, 1, 3]])

    (found,) = search(None, [Photo("q", 2, 0, ())], gallery, Compressed(), 3)
    assert [photo.path for photo in found.photos] == ["b", "d", "a"]
    assert found.distances == [1.0, 2.0, 5.0]
    assert found.possible
    assert looked == [["q"], ["a", "b", "d"]]


def test_a_run_is_explained_from_another_folder(tool, amd_config, tmp_path, monkeypatch):
    """Its config.yaml names OUTPUT_DIR and the target as they were where it was trained."""
    run = tmp_path / "moved"
    save_target_config(amd_config("OUTPUT_DIR", str(run)))
    opts = ("MODEL.AMD.TARGET.CONFIG", "t.yaml", "OUTPUT_DIR", "logs/gone", "STAGES", "[]")
    (run / "config.yaml").write_text(amd_config(*opts).dump())
    shutil.copy(tool.weights, run / "model_final.pth")
    a, b = sorted(tool.images.rglob("*.jpg"))[:2]
    monkeypatch.chdir(tmp_path)
    call = ["--query", str(a), "--gallery", str(b)]
    assert explain(["--config-file", str(run / "config.yaml"), *call]) == 0
    first = json.loads((run / "explain" / "report.json").read_text())
    assert first["weights"] == str(run / "model_final.pth")
    # another run and another target, which the paths in config.yaml lead to from here
    other = tmp_path / "logs" / "gone"
    other.mkdir(parents=True)
    (other / "model_final.pth").write_bytes(b"another run's")
    (tmp_path / "t.yaml").write_text("MODEL:\n  META_ARCHITECTURE: MGN\n")
    assert explain(["--config-file", str(run / "config.yaml"), *call]) == 0
    assert json.loads((run / "explain" / "report.json").read_text()) == first
    monkeypatch.chdir(run)
    assert explain(["--config-file", "config.yaml", *call]) == 0
    assert explain(["--config-file", ".", *call]) == 0


@pytest.mark.parametrize("maps", ["contributions", "attention"])
def test_average_maps(tool, monkeypatch, maps):
    """Both sides are the mean of the images with their label; an image without one is in neither."""
    rows = [[0, *[-1] * 25], [1, *[-1] * 25]]
    with monkeypatch.context() as patch:
        patch.setattr(sources, "item_attributes", lambda _, items, wanted: np.resize(rows, (len(items), 26)))
        assert tool("--top-k", "1", "--queries", "1", "--average-maps", "--maps", maps) == 0
    assert "on average" in (tool.folder / "report.html").read_text()
    assert {path.name for path in (tool.folder / "averages").glob("*.png")} == {
        "gender_with.png",
        "gender_without.png",
    }
    explainer = Explainer.from_config(INTERPRETER, str(tool.weights), tool.opts, maps=maps)
    files = sorted(str(path) for path in (tool.images / "query").glob("*.jpg"))[:3]
    labels = ([1, *[0] * 25], [1, *[-1] * 25], [0, *[0] * 25])
    photos = [Photo(path, 1, 0, tuple(row)) for path, row in zip(files, labels, strict=True)]
    if maps == "contributions":
        return check_average_contributions(explainer, photos, files)
    gender, hair, *_ = average_attention(explainer, photos)
    attention = explainer.encode(files).attention
    assert (gender.positive.words, gender.positive.images, gender.negative.images) == ("female", 2, 1)
    np.testing.assert_allclose(gender.positive.shares, attention[:2, 0].mean(dim=0), rtol=1e-5)
    np.testing.assert_allclose(gender.negative.shares, attention[2, 0], rtol=1e-5)
    assert (hair.positive.images, hair.positive.shares, hair.negative.images) == (0, None, 2)
    return None


def check_average_contributions(explainer, photos, files):
    """The two images with the attribute, each beside the one without it, and the other way round."""
    gender, hair, *_ = average_contributions(explainer, photos)
    pairs = explainer.explain_pairs([(files[0], files[2]), (files[1], files[2])])
    first = [pair.contributions[0] for pair in pairs]
    assert (gender.positive.words, gender.positive.images, gender.negative.images) == ("female", 2, 2)
    expected = np.mean([c.query_map for c in first], axis=0)
    np.testing.assert_allclose(gender.positive.shares, expected, rtol=1e-3, atol=1e-5)
    expected = np.mean([c.gallery_map for c in first], axis=0)
    np.testing.assert_allclose(gender.negative.shares, expected, rtol=1e-3, atol=1e-5)
    assert (hair.positive.images, hair.negative.images) == (0, 0)


def test_chosen_queries_are_the_best_the_worst_and_random_ones():
    def found(number, margin):
        query = Photo(f"{number}.jpg", number, 0, ())
        right, wrong = Photo("r", number, 1, ()), Photo("w", -5, 1, ())
        order = [right, wrong] if margin > 0 else [wrong, right]
        return Found(query, order, [1.0, 1.0 + abs(margin)], True)

    entries = [found(number, margin) for number, margin in enumerate((0.5, -3.0, 2.0, -0.1, 1.0, 0.2, -1.0))]
    chosen = choose_queries(entries, 6)
    assert [entry.query.pid for entry, _ in chosen[:4]] == [2, 4, 1, 6]
    assert [caption.split()[-1] for _, caption in chosen] == ["best."] * 2 + ["worst."] * 2 + ["random."] * 2
    assert len({id(entry) for entry, _ in chosen}) == 6
    assert choose_queries(entries, 6) == chosen
    assert [caption for _, caption in choose_queries(entries, 7)] == [""] * 7


def test_an_earlier_explanation_is_replaced_and_nothing_else(tool):
    assert tool("--top-k", "2", "--queries", "4") == 0
    assert tool("--top-k", "1", "--queries", "1") == 0
    assert len(list((tool.folder / "pairs").iterdir())) == 1
    assert not list(tool.folder.parent.glob(".explain*"))


# What is refused


def refused(tool, capsys, *args, **kwargs):
    assert tool(*args, **kwargs) == 2
    *_, last = capsys.readouterr().err.strip().splitlines()
    assert not (tool.folder / "report.html").exists()
    assert not list(tool.folder.parent.glob(".explain*"))
    return last


def test_a_file_that_is_no_image(tool, capsys, tmp_path):
    (tmp_path / "a.jpg").write_text("no image")
    b = next(tool.images.rglob("*.jpg"))
    assert "a.jpg" in refused(tool, capsys, "--query", str(tmp_path / "a.jpg"), "--gallery", str(b))


def test_a_broken_image_in_the_gallery(tool, capsys):
    query = next((tool.images / "query").glob("*.jpg"))
    broken = tool.images / "bounding_box_test" / "broken.jpg"
    broken.write_bytes(b"")
    assert "broken.jpg" in refused(tool, capsys, "--query", str(query), "--gallery", str(broken.parent))
    assert not list((tool.folder.parent / "index").glob("*"))


def test_an_empty_folder(tool, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty does not hold any image" in refused(
        tool, capsys, "--query", str(tmp_path / "empty"), "--gallery", "Market1501"
    )


def test_a_name_that_is_nothing(tool, capsys):
    assert "nor a registered dataset" in refused(tool, capsys, "--query", "nowhere.jpg")
    assert "nor a registered dataset" in refused(tool, capsys, "--query", "a" * 300)


def test_average_maps_without_a_label(tool, capsys):
    message = refused(tool, capsys, "--top-k", "1", "--average-maps")
    assert "--average-maps needs labels, but no attribute of the queries Market1501 is known" in message


def test_more_than_the_gallery_has(tool, capsys):
    assert "12 image(s)" in refused(tool, capsys, "--top-k", "13")
    assert "at least 1" in refused(tool, capsys, "--top-k", "0")
    a, b = sorted(tool.images.rglob("*.jpg"))[:2]
    message = refused(tool, capsys, "--query", str(a), "--gallery", str(b), "--top-k", "5")
    assert "--top-k is 5, but the gallery has 1 image(s)" in message


def test_a_small_gallery_is_explained_whole_where_no_number_is_given(tool):
    b = next(tool.images.rglob("*.jpg"))
    assert tool("--query", str(tool.images / "query"), "--gallery", str(b)) == 0
    assert [len(entry["ranked"]) for entry in report(tool)["ranking"]] == [1] * 4


def test_a_query_without_a_gallery(tool, capsys):
    query = next((tool.images / "query").glob("*.jpg"))
    assert "--gallery is missing" in refused(tool, capsys, "--query", str(query))


@pytest.mark.parametrize("key", ["TEST.RERANK.ENABLED", "TEST.AQE.ENABLED"])
def test_rankings_by_more_than_a_pair(amd_config, key):
    with pytest.raises(ConfigError, match=rf"{key} is True.*add {key} False"):
        check_ranking(amd_config(key, "True"))


def test_an_index_inside_the_explanation(tool, capsys, tmp_path):
    output = tmp_path / "out"
    message = refused(tool, capsys, "--output", str(output), "--index", str(output / "i.faiss"))
    assert "i.faiss would be in" in message
    assert not output.exists()


def test_weights_of_another_attribute_set(tool, capsys):
    message = refused(tool, capsys, opts=("MODEL.AMD.ATTRIBUTES", "dukemtmc"))
    assert "26 attributes" in message
    assert "dukemtmc has 23" in message


def test_weights_that_are_missing_or_no_interpreters(tool, capsys, target_files, tmp_path):
    assert "none.pth" in refused(tool, capsys, weights=tmp_path / "none.pth")
    assert "does not hold an interpreter" in refused(tool, capsys, weights=target_files[1])


def test_a_folder_that_cannot_be_written(tool, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "it is a file" in refused(tool, capsys, "--output", str(tmp_path / "file"))
    assert "too long; name another" in refused(tool, capsys, "--output", str(tmp_path / ("a" * 250)))
    assert "not writable" in refused(tool, capsys, "--output", str(tmp_path / "file" / "below"))


FOREIGN = {
    "a paper": {"thesis.tex": ""},
    "a paper beside some report.json": {"thesis.tex": "", "report.json": "{}"},
    "a run's report": {"report.html": "", "report.json": "[]"},
    "a note inside an explanation": {"report.json": '{"kind": "explanation"}', "pairs/001/note.txt": ""},
}


@pytest.mark.parametrize("files", FOREIGN.values(), ids=FOREIGN)
def test_a_folder_with_foreign_files_is_left_alone(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="not part of an explanation"):
        write_explanation(Explanation("t"), tmp_path, 1)
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()} == set(files)


def test_an_interrupted_explanation_loses_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "explain"
    write_explanation(Explanation("first"), folder, 1)

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(explanation_files, "report_as_json", stop)
    with pytest.raises(KeyboardInterrupt):
        write_explanation(Explanation("second"), folder, 1)
    monkeypatch.undo()
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda own, to: stop() if own.name == "new" else rename(own, to))
    with pytest.raises(KeyboardInterrupt):
        write_explanation(Explanation("third"), folder, 1)
    assert json.loads((folder / "report.json").read_text())["title"] == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["explain"]
