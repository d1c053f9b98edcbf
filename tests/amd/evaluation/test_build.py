"""An evaluation of an interpreter beside a plain one of its target, and the report of its run."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.transforms import build_transforms
from fastreid.evaluation import ReidEvaluator, inference_on_dataset
from PIL import Image

from fastreid_projects.amd.explain.calibration_file import interpreter_digest, load_calibration
from fastreid_projects.amd.explain.run_report import RunReport
from fastreid_projects.evaluation.distance import iter_distances
from tests.amd.conftest import save_target

QUERIES, IMAGES = 4, 16
SMALL = ("INPUT.SIZE_TEST", "[32, 16]")


class Loader:
    """Batches of images, queries first; each is a new dictionary, as the host changes what it takes."""

    def __init__(self, paths, transform):
        self.images = torch.stack([transform(Image.open(path)) for path in paths])
        self.paths = [str(path) for path in paths]
        self.pids = torch.arange(IMAGES) % QUERIES + 1
        self.camids = torch.arange(IMAGES) // QUERIES
        items = list(zip(self.paths, self.pids.tolist(), self.camids.tolist(), strict=True))
        self.dataset = type("Images", (list,), {"img_items": items})(items)

    def __len__(self):
        return IMAGES // 8

    def __iter__(self):
        generator = torch.Generator().manual_seed(5)
        attributes = torch.randint(0, 2, (QUERIES + 1, 26), generator=generator)
        for rows in torch.arange(IMAGES).split(8):
            yield {
                "images": self.images[rows],
                "targets": self.pids[rows],
                "camids": self.camids[rows],
                "attributes": attributes[self.pids[rows]],
                "img_paths": [self.paths[i] for i in rows],
            }


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    made = [folder / f"{i}.png" for i in range(IMAGES)]
    for path in made:
        colours = rng.integers(0, 256, (4, 2, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((64, 128), Image.NEAREST).save(path)
    return made


@pytest.mark.parametrize(
    ("normalize", "neck", "metric", "flip"),
    [
        (False, "after", "euclidean", True),
        (True, "after", "euclidean", False),
        (True, "after", "euclidean", True),
        (False, "before", "euclidean", False),
        (False, "before", "cosine", True),
        (True, "before", "cosine", False),
    ],
)
def test_the_target_is_scored_by_what_it_returns(
    build_amd, amd_config, tmp_path, paths, normalize, neck, metric, flip
):
    """As in a plain evaluation of it, whatever is explained; here its neck makes 64 of 512 channels."""
    config, weights = save_target(tmp_path / "target", "MODEL.HEADS.EMBEDDING_DIM", "64")
    opts = [
        *("MODEL.AMD.TARGET.CONFIG", config, "MODEL.AMD.TARGET.WEIGHTS", weights),
        *("MODEL.AMD.NORMALIZE", str(normalize), "MODEL.AMD.NECK_FEAT", neck),
        *("TEST.METRIC", metric, "TEST.FLIP.ENABLED", str(flip), *SMALL),
    ]
    cfg, model = amd_config(*opts), build_amd(*opts)
    loader = Loader(paths, build_transforms(cfg, is_train=False))
    evaluator = model.build_evaluator(cfg, "Market1501", loader, QUERIES)
    evaluator.studies = ()
    scored = []
    distances = evaluator.target_distances
    evaluator.target_distances = lambda *parts: scored.append(torch.cat(parts)) or distances(*parts)
    results = inference_on_dataset(model, loader, evaluator, flip_test=flip)
    plain_evaluator = ReidEvaluator(cfg, QUERIES)
    plain = inference_on_dataset(model.target.model, loader, plain_evaluator, flip_test=flip)
    assert torch.equal(scored[0], torch.cat([part["feats"] for part in plain_evaluator._predictions]))
    for name in ("Rank-1", "Rank-5", "mAP", "mINP"):
        assert results[f"target_{name}"] == plain[name]
    assert bool(evaluator._returned) == (normalize or neck == "before"), "nothing is kept twice"


@pytest.mark.parametrize(("metric", "flip"), [("euclidean", False), ("euclidean", True), ("cosine", False)])
def test_the_calibration_is_of_the_distances_that_are_explained(build_amd, amd_config, paths, metric, flip):
    """The distances and contributions in the report are compared with those that the evaluation measured."""
    opts = [
        *("TEST.METRIC", metric, "TEST.FLIP.ENABLED", str(flip), "MODEL.AMD.REPORT.PAIRS", "9"),
        *("MODEL.AMD.TEST.DELETION_PAIRS", "0", *SMALL),
    ]
    cfg, model = amd_config(*opts), build_amd(*opts)
    loader = Loader(paths, build_transforms(cfg, is_train=False))
    evaluator = model.build_evaluator(cfg, "Market1501", loader, QUERIES)
    inference_on_dataset(model, loader, evaluator, flip_test=flip)
    calibration, report = evaluator.studies
    found = load_calibration(calibration.path, interpreter_digest(model, cfg)).scale
    kinds = {"True": found.same, "False": found.different}
    pairs = json.loads((report.folder / "report.json").read_text())
    for pair in pairs:
        measured = kinds[str(pair["same_identity"])]
        low, high = measured.quantiles[0], measured.quantiles[-1]
        assert low * 0.99 <= pair["distance"] <= high * 1.01
        assert pair["answer"]["dataset"] == "Market1501"
        assert pair["answer"]["sentence"].startswith("distance ")


@pytest.mark.parametrize(("metric", "flip"), [("euclidean", False), ("euclidean", True), ("cosine", False)])
def test_the_report_tells_the_distances_of_the_evaluation(build_amd, amd_config, paths, metric, flip):
    opts = [
        *("TEST.METRIC", metric, "TEST.FLIP.ENABLED", str(flip), "MODEL.AMD.REPORT.PAIRS", "9"),
        *("MODEL.AMD.TEST.DELETION_PAIRS", "0", *SMALL),
    ]
    cfg, model = amd_config(*opts), build_amd(*opts)
    loader = Loader(paths, build_transforms(cfg, is_train=False))
    evaluator = model.build_evaluator(cfg, "Market1501", loader, QUERIES)
    *_, report = evaluator.studies
    seen = []
    evaluator.studies = [lambda _, embeddings, results: seen.append(embeddings) or {}, report]
    inference_on_dataset(model, loader, evaluator, flip_test=flip)
    features = F.normalize(seen[0], dim=1) if metric == "cosine" else seen[0]
    (ranked,) = (rows for _, rows in iter_distances(seen[0][:QUERIES], seen[0][QUERIES:], metric))
    pairs = json.loads((report.folder / "report.json").read_text())
    assert pairs
    for pair in pairs:
        query, gallery = (int(Path(pair[side]).stem) for side in ("query", "gallery"))
        expected = float((features[query] - features[gallery]).norm())
        assert pair["distance"] == pytest.approx(expected, rel=1e-4)
        if pair["caption"].startswith("The nearest other"):
            others = np.flatnonzero(loader.pids[QUERIES:] != loader.pids[query])
            assert gallery - QUERIES == others[ranked[query, others].argmin()]


def test_what_the_config_and_the_test_set_say_of_counting_reaches_the_evaluator(build_amd, amd_config, paths):
    model = build_amd()
    loader = Loader(paths, build_transforms(amd_config(*SMALL), is_train=False))
    loader.dataset.junk = 7
    for counted in (False, True):
        cfg = amd_config(*SMALL, "MODEL.AMD.TEST.COUNT_UNLABELLED", str(counted))
        evaluator = model.build_evaluator(cfg, "Market1501", loader, QUERIES)
        assert (evaluator.count_unlabelled, evaluator.junk) == (counted, 7)


def test_pairs_are_chosen_by_the_metric_of_the_evaluation(tmp_path):
    """The nearest other person by direction is far away."""
    embeddings = torch.tensor([[1.0, 0.0], [9.0, 0.0], [1.0, 1.0]])
    evaluator = SimpleNamespace(
        num_query=1,
        pids=torch.tensor([1, 2, 3]),
        camids=torch.arange(3),
        paths=["q.png", "far.png", "near.png"],
        attributes=torch.zeros(3, 26),
    )
    for cosine, name in ((True, "far.png"), (False, "near.png")):
        found = []
        explainer = SimpleNamespace(
            cosine=cosine, explain_pairs=lambda pairs, found=found: found.extend(pairs) or []
        )
        RunReport(explainer, tmp_path, title="", number=1, top_k=1)(evaluator, embeddings, {})
        assert [pair.gallery for pair in found] == [name]


def test_the_report_leaves_out_what_is_not_defined(tmp_path):
    """X-mAP of people who all have the same attributes."""
    evaluator = SimpleNamespace(num_query=1, pids=torch.tensor([1, 2]), camids=torch.arange(2))
    explainer = SimpleNamespace(cosine=False, explain_pairs=lambda pairs: [])
    results = {"Rank-1": 50.0, "X-mAP_e": float("nan"), "random_X-mAP_e": float("nan")}
    RunReport(explainer, tmp_path, title="", number=0, top_k=1)(evaluator, torch.rand(2, 4), results)
    html = (tmp_path / "report.html").read_text()
    assert '<td class="number">50.00</td>' in html
    assert "nan" not in html.partition("<script")[0]
    assert "X-mAP_e" not in html


def test_attention_is_measured_on_images_as_the_masks_are(build_amd, amd_config, paths, monkeypatch):
    """Flip testing leaves the host's batches mirrored."""
    left = np.zeros((26, 128, 64), bool)
    left[:, :, :20] = True
    monkeypatch.setattr(
        DATASET_REGISTRY.get("Market1501"), "attribute_masks", lambda path: left, raising=False
    )
    inside = []
    for flip in (False, True):
        opts = ["TEST.FLIP.ENABLED", str(flip), "INPUT.SIZE_TEST", "[128, 64]"]
        cfg, model = amd_config(*opts), build_amd(*opts)
        loader = Loader(paths, build_transforms(cfg, is_train=False))
        evaluator = model.build_evaluator(cfg, "Market1501", loader, QUERIES)
        evaluator.studies = ()
        inside.append(inference_on_dataset(model, loader, evaluator, flip_test=flip)["attention_in_mask"])
    assert inside[0] == pytest.approx(inside[1], rel=1e-5)
    assert inside[0] > 0


def test_what_a_dataset_cannot_measure_is_said(build_amd, amd_config, paths, caplog, monkeypatch):
    """Real images have neither masks nor changed attributes; the evaluation does without, and says so."""
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    opts = ["MODEL.AMD.TEST.COUNTERFACTUALS", "5", "MODEL.AMD.TEST.DELETION_PAIRS", "2", *SMALL]
    cfg, model = amd_config(*opts), build_amd(*opts)
    loader = Loader(paths, build_transforms(cfg, is_train=False))
    evaluator = model.build_evaluator(cfg, "Market1501", loader, QUERIES)
    said = [record.getMessage() for record in caplog.records]
    assert any("MODEL.AMD.TEST.COUNTERFACTUALS measures nothing on Market1501" in text for text in said)
    assert any(
        "Market1501 has no true masks" in text and "deletion and insertion alone" in text for text in said
    )
    results = inference_on_dataset(model, loader, evaluator)
    assert "contribution_deletion" in results
    assert not any("density" in name or "counterfactual" in name for name in results)
