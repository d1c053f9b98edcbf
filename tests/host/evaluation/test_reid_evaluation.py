"""The host's ReidEvaluator with every test setting, without a compiler and without CUDA."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn import metrics

from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.host.evaluation.reid_evaluation import patch_evaluation

pytest.importorskip("fastreid")
patch_evaluation()

from fastreid.config import get_cfg  # noqa: E402
from fastreid.evaluation import ReidEvaluator, rank, reid_evaluation  # noqa: E402
from fastreid.utils import comm, compute_dist  # noqa: E402

QUERIES, GALLERY = 40, 160


def make_data(seed=0, queries=QUERIES, gallery=GALLERY, ids=10):
    rng = np.random.default_rng(seed)
    count = queries + gallery
    pids, camids = rng.integers(0, ids, count), rng.integers(0, 3, count)
    features = rng.normal(size=(ids, 16))[pids] + 1.5 * rng.normal(size=(count, 16))
    return torch.from_numpy(features.astype(np.float32)), pids, camids


def make_evaluator(data, queries=QUERIES, **settings):
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    for key, value in settings.items():
        cfg.merge_from_list([f"TEST.{key.replace('__', '.')}", value])
    features, pids, camids = data
    evaluator = ReidEvaluator(cfg, queries)
    evaluator.reset()
    for start in range(0, len(features), 32):
        part = slice(start, start + 32)
        names = [f"image{i}.jpg" for i in range(len(features))[part]]
        batch = {
            "targets": torch.tensor(pids[part]),
            "camids": torch.tensor(camids[part]),
            "img_paths": names,
        }
        evaluator.process(batch, features[part])
    return evaluator


def host_results(data, cfg):
    """What the host computes from whole matrices, re-ranking on the CPU (search_option 3); and scikit-learn's curve."""
    features, pids, camids = data
    query, gallery = features[:QUERIES], features[QUERIES:]
    compute = f"compute_{cfg.TEST.METRIC}_distance"
    dist = getattr(compute_dist, compute)(query, gallery)
    if cfg.TEST.RERANK.ENABLED:
        if cfg.TEST.METRIC == "cosine":
            features = torch.nn.functional.normalize(features, dim=1)
        keys = {"k1": cfg.TEST.RERANK.K1, "k2": cfg.TEST.RERANK.K2}
        jaccard = compute_dist.compute_jaccard_distance(features, **keys, search_option=3)
        share = cfg.TEST.RERANK.LAMBDA
        dist = jaccard[:QUERIES, QUERIES:] * (1 - share) + dist * share
    labels = pids[:QUERIES], pids[QUERIES:], camids[:QUERIES], camids[QUERIES:]
    cmc, ap, inp = rank.evaluate_py(dist, *labels, 50, False)
    expected = {f"Rank-{k}": cmc[k - 1] * 100 for k in (1, 5, 10)}
    expected |= {"mAP": np.mean(ap) * 100, "mINP": np.mean(inp) * 100}
    expected["metric"] = (np.mean(ap) + cmc[0]) / 2 * 100
    same = pids[:QUERIES, None] == pids[QUERIES:]
    counted = ~(same & (camids[:QUERIES, None] == camids[QUERIES:]))
    fprs, tprs, _ = metrics.roc_curve(same[counted], -dist[counted], drop_intermediate=False)
    names = {1e-4: "TPR@FPR=1e-04", 1e-3: "TPR@FPR=1e-03", 1e-2: "TPR@FPR=1e-02"}
    return expected | {name: tprs[fprs <= fpr].max() * 100 for fpr, name in names.items()}


@pytest.mark.filterwarnings("ignore:This overload of addmm_")
@pytest.mark.parametrize("rerank", [False, True])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_results_equal_the_host(metric, rerank):
    data = make_data()
    settings = {"RERANK__ENABLED": rerank, "RERANK__FORMULA": "fastreid", "ROC__ENABLED": True}
    evaluator = make_evaluator(data, METRIC=metric, **settings)
    results = evaluator.evaluate()
    assert results == pytest.approx(host_results(data, evaluator.cfg), rel=1e-4)
    assert list(results)[:6] == ["Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "metric"]
    assert all(type(value) is float for value in results.values())
    assert evaluator.evaluate() == results  # nothing was consumed


def test_reranking_is_the_published_method_whatever_the_scale_of_the_features():
    """The host's changes hardly a rank of long features (SAL's have a norm of 52)."""
    features, *labels = make_data()
    found = {}
    for scale in (1, 52):
        for formula in ("zhong2017", "fastreid"):
            settings = {"METRIC": "euclidean", "RERANK__ENABLED": True, "RERANK__FORMULA": formula}
            found[formula, scale] = make_evaluator((scale * features, *labels), **settings).evaluate()["mAP"]
    plain = make_evaluator((features, *labels), METRIC="euclidean").evaluate()["mAP"]
    assert found["zhong2017", 52] == pytest.approx(found["zhong2017", 1], abs=0.05)
    assert found["zhong2017", 52] > plain + 1
    assert found["fastreid", 52] == pytest.approx(plain, abs=0.5)


def test_query_expansion_is_applied_and_survives_few_images():
    data = make_data()
    plain = make_evaluator(data).evaluate()
    expanded = make_evaluator(data, AQE__ENABLED=True).evaluate()
    assert expanded["mAP"] > plain["mAP"]
    few = tuple(values[:12] for values in data)
    assert 0 <= make_evaluator(few, queries=6, AQE__ENABLED=True, AQE__QE_K=50).evaluate()["mAP"] <= 100


def test_galleries_of_less_than_ten_images():
    data = make_data(gallery=5, ids=2)
    assert make_evaluator(data, RERANK__ENABLED=True).evaluate()["Rank-10"] == 100


def test_nothing_is_compiled_and_nothing_warns_about_cython(monkeypatch):
    monkeypatch.setattr(reid_evaluation, "compile_helper", lambda: pytest.fail("compiled"))
    make_evaluator(make_data())
    code = (
        "import fastreid_projects, warnings; warnings.simplefilter('error', UserWarning);"
        "import fastreid.evaluation.rank, fastreid.evaluation.roc"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_features_of_nan_are_named():
    features, pids, camids = make_data()
    features[3, 2] = float("nan")
    with pytest.raises(DataError, match=r"1 of 200 images .*image3\.jpg"):
        make_evaluator((features, pids, camids)).evaluate()


def test_one_camera_and_unknown_metric_are_named():
    features, pids, camids = make_data()
    with pytest.raises(DataError, match="camera"):
        make_evaluator((features, pids, 0 * camids)).evaluate()
    with pytest.raises(ConfigError, match=r"TEST\.METRIC"):
        make_evaluator((features, pids, camids), METRIC="hamming").evaluate()
    with pytest.raises(DataError, match="test set is empty"):
        make_evaluator((features[:0], pids, camids)).evaluate()


def test_predictions_of_all_processes_are_joined_in_order(monkeypatch):
    evaluator = make_evaluator(make_data())
    expected = evaluator.evaluate()
    shards = evaluator._predictions[:3], evaluator._predictions[3:]
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(comm, "synchronize", lambda: None)
    monkeypatch.setattr(comm, "gather", lambda data, dst: list(shards))
    monkeypatch.setattr(comm, "is_main_process", lambda: True)
    assert evaluator.evaluate() == expected
    monkeypatch.setattr(comm, "gather", lambda data, dst: [])
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert evaluator.evaluate() == {}


def test_the_functions_that_others_import_are_mended():
    features, pids, camids = make_data(gallery=4, ids=2)
    query, gallery = features[:QUERIES], features[QUERIES:]
    jaccard = compute_dist.build_dist(query, gallery, "jaccard", k1=20, k2=6)
    assert jaccard.shape == (QUERIES, 4)
    labels = pids[:QUERIES], pids[QUERIES:], camids[:QUERIES], camids[QUERIES:]
    assert len(rank.evaluate_rank(jaccard, *labels)[0]) == 50
    expanded = reid_evaluation.aqe(query, gallery, 1, 100, 3.0)
    assert [part.shape for part in expanded] == [query.shape, gallery.shape]


def test_no_feature_is_in_memory_twice():
    """The batches' features become parts of the joined ones, and the evaluation can be repeated."""
    evaluator = make_evaluator(make_data())
    expected = evaluator.evaluate()
    storages = {prediction["feats"].untyped_storage().data_ptr() for prediction in evaluator._predictions}
    assert len(storages) == 1
    assert evaluator.evaluate() == expected
