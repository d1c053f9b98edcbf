"""Evaluation and explanations on a CUDA device that is not there: what they return is on the CPU."""

import contextlib
from unittest import mock

import numpy as np
import pytest
import torch
from fastreid.evaluation import ReidEvaluator

from fastreid_projects import plugins
from fastreid_projects.amd.evaluation import attribute_metrics, feature_store
from fastreid_projects.amd.evaluation.deletion import curve
from fastreid_projects.amd.evaluation.evaluator import AttributeEvaluator
from fastreid_projects.amd.evaluation.kinds import ATTRIBUTE_KINDS, KINDS, PairKinds
from fastreid_projects.amd.explain.explainer import Explainer, PlainExplainer
from fastreid_projects.evaluation.ranking import RankingMeter
from fastreid_projects.extractor import Extractor
from fastreid_projects.host.evaluation import reid_evaluation
from fastreid_projects.mpn.part_maps import part_maps
from fastreid_projects.sal.attention import attention_of
from fastreid_projects.visualization.contributions import pooling
from fastreid_projects.visualization.gradcam import gradcam
from tests.architectures import small_configs
from tests.devices.fake_cuda import DEVICE, fake_cuda
from tests.devices.models import batch_of, build, config_of
from tests.yaml_files import ROOT, config_file

plugins.register_all()
SMALL = small_configs()
AMD = "amd_r18_demo"


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


class OneThread(contextlib.AbstractContextManager):
    """A pool with only this thread, as other threads have no fake device."""

    map = staticmethod(map)

    def __init__(self, workers):
        self.workers = workers

    def __exit__(self, *_):
        return None


@pytest.fixture
def without_numbers():
    """Fake features have no values, so that finiteness and the exponent of a mean are unknown."""
    with (
        mock.patch.object(reid_evaluation, "check_finite", return_value=None),
        mock.patch.object(feature_store, "check_finite", return_value=None),
        mock.patch.object(pooling, "_exponent", return_value=3.0),
        mock.patch.object(attribute_metrics, "ThreadPoolExecutor", OneThread),
    ):
        yield


def features_of(cfg, model):
    batch = batch_of(cfg, model, DEVICE, training=False)
    with torch.no_grad():
        return batch, model.eval()(batch)


@pytest.mark.parametrize("name", [name for name in SMALL if not name.startswith("SALClassifier")])
def test_scores_features_and_explanations(name, without_numbers):
    with fake_cuda() as traffic:
        cfg = config_of(SMALL[name])
        model = build(cfg)
        check_evaluation(cfg, model, traffic)
        images = torch.zeros(2, 3, *cfg.INPUT.SIZE_TEST)
        assert Extractor(model, None, flip=True, normalize=True)._features(images).device.type == "cpu"
        explainer = PlainExplainer(model, None, flip=True, cosine=True)
        assert explainer.encode(images).embeddings.device.type == "cpu"
        (maps,) = explainer.distance.explain(images[:1], images[1:])
        assert {x.device.type for x in (maps.first, maps.second, *gradcam(model, images).values())} == {"cpu"}


def check_evaluation(cfg, model, traffic):
    traffic.transfers.clear()
    batch, features = features_of(cfg, model)
    assert features.device == torch.device(DEVICE)
    assert traffic.transfers == [], "the model itself waits for nothing"
    cfg.TEST.SAME_CAMERA, cfg.TEST.FIDELITY.ENABLED = True, False  # fake labels are all 0
    cfg.MODEL.DEVICE = DEVICE  # where distances are computed
    for cfg.TEST.RERANK.ENABLED in (False, True):
        evaluator = ReidEvaluator(cfg, 2)
        evaluator.process(batch, features)
        assert "mAP" in evaluator.evaluate()


def test_an_interpreters_evaluation(without_numbers):
    with fake_cuda():
        cfg = config_of(config_file(AMD))
        model = build(cfg)
        batch, outputs = features_of(cfg, model)
        evaluator = AttributeEvaluator(
            2,
            len(outputs),
            model.attribute_set,
            device=torch.device(DEVICE),
            target_features=lambda inputs: model.target.model(inputs),
            ranking_meter=lambda pids, cameras: RankingMeter(pids, np.arange(len(cameras)) + 1),
            gamma=1.0,
        )
        evaluator.process(batch, outputs)
        assert {"mAP", "ADRE"} <= set(evaluator.evaluate())


def test_an_interpreter_explains(without_numbers):
    with fake_cuda():
        cfg = config_of(config_file(AMD))
        height, width = cfg.INPUT.SIZE_TEST
        explainer = Explainer(build(cfg), lambda image: torch.zeros(3, height, width), flip=True)
        found = explainer.encode(torch.zeros(2, 3, height, width), looks=True)
        assert {x.device.type for x in (found.embeddings, found.features, found.attention)} == {"cpu"}
        picture = np.zeros((8, 4, 3), np.uint8)
        explained = explainer.explain(picture, picture)
        assert len(explained.contributions) == len(explainer.model.attribute_set)
        assert explained.whole.query_map.shape == explained.whole.gallery_map.shape


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_map_is_measured(kind, without_numbers):
    with fake_cuda():
        cfg = config_of(config_file(AMD))
        images = torch.zeros(2, 3, *cfg.INPUT.SIZE_TEST)
        explainer = Explainer(build(cfg), None)
        kinds = PairKinds(explainer, images, torch.Generator())
        assert kinds.total(kind).device.type == "cpu"
        assert curve(explainer, images, kinds.total(kind), keep=False).device.type == "cpu"
        if kind in ATTRIBUTE_KINDS:
            assert kinds.attributes(kind, [0, 1]).device.type == "cpu"


@pytest.mark.parametrize("score", ["identity", "feature"])
def test_where_mpn_looks(score):
    with fake_cuda():
        cfg = config_of(config_file("mpn_r18_demo"))
        maps = part_maps(build(cfg), torch.zeros(2, 3, *cfg.INPUT.SIZE_TEST), score=score)
        assert maps.device.type == "cpu"


def test_the_attention_of_sal():
    with fake_cuda():
        cfg = config_of(config_file("sal_r18_demo"))
        found = attention_of(build(cfg), torch.zeros(2, 3, *cfg.INPUT.SIZE_TEST), cfg.MODEL.LOSSES.SAC.LAYERS)
        assert {m.device.type for m in found.maps.values()} == {"cpu"}
