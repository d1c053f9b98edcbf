"""What only a GPU can show: each paper trains in mixed precision, and evaluates, extracts, explains as on the CPU."""

import pytest
import torch
from fastreid.engine.train_loop import AMPTrainer
from fastreid.evaluation import ReidEvaluator
from fastreid.modeling.meta_arch import build_model
from fastreid.solver import build_optimizer
from fastreid.utils.events import EventStorage

from fastreid_projects.amd.evaluation.evaluator import AttributeEvaluator
from fastreid_projects.amd.explain.explainer import Explainer, PlainExplainer
from fastreid_projects.data.attributes import MARKET1501
from fastreid_projects.evaluation.index import GalleryIndex
from fastreid_projects.evaluation.reranking import iter_jaccard_distances
from fastreid_projects.export import compare, to_onnx
from fastreid_projects.extractor import Extractor
from fastreid_projects.host.engine.train_loop.amp import set_amp_dtype
from fastreid_projects.plugins import PAPERS
from fastreid_projects.visualization.gradcam import gradcam, map_layers
from tests.devices.models import batch_of, config_of, targets_without_files
from tests.yaml_files import config_file

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
DEMOS = [paper.demo for paper in PAPERS.values()]
SMALL = ["bagtricks_r18_demo", "sbs_r18_demo", "mgn_r50_demo", *DEMOS]


@pytest.fixture(autouse=True)
def in_float32(monkeypatch):
    """TensorFloat-32 has three digits; here features are compared."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def built(name, device="cuda"):
    """A model of that config with random weights that are the same on each device."""
    cfg = config_of(config_file(name))
    cfg.MODEL.DEVICE = device
    torch.manual_seed(0)
    with targets_without_files():
        return cfg, build_model(cfg)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", SMALL)
def test_every_paper_trains_in_mixed_precision(name, dtype):
    cfg, model = built(name)
    batch = batch_of(cfg, model.train())
    batch["images"].uniform_(0, 255)
    trainer = AMPTrainer(model, [batch] * 6, *build_optimizer(cfg, model))
    set_amp_dtype(trainer, dtype)
    before = {key: value.clone() for key, value in model.named_parameters() if value.requires_grad}
    with EventStorage(0) as storage:
        for trainer.iter in range(6):
            trainer.run_step()
        assert torch.tensor(storage.latest()["total_loss"][0]).isfinite()
    assert any(
        not torch.equal(before[key], value) for key, value in model.named_parameters() if key in before
    )


@pytest.mark.parametrize("name", SMALL)
def test_a_step_in_bfloat16_waits_for_nothing(name):
    """``torch.cuda`` itself raises where a step waits, but for the losses, which are read aside."""
    cfg, model = built(name)
    batch = batch_of(cfg, model.train())
    with EventStorage(0):
        for _ in range(2):
            torch.cuda.set_sync_debug_mode("default")
            with torch.autocast("cuda", torch.bfloat16):
                torch.cuda.set_sync_debug_mode("error")
                try:
                    sum(model(batch).values()).backward()
                finally:
                    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", SMALL)
def test_features_are_those_of_the_cpu(name):
    cfg, on_cpu = built(name, "cpu")
    _, on_gpu = built(name)
    on_gpu.load_state_dict(on_cpu.state_dict())
    batch = batch_of(cfg, on_cpu, "cpu", training=False)
    batch["images"].uniform_(0, 255, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = on_cpu.eval()({**batch, "images": batch["images"].clone()})
        found = on_gpu.eval()(batch)
    scale = expected.abs().max()
    torch.testing.assert_close(found.cpu() / scale, expected / scale, atol=2e-3, rtol=0)


def scored(device):
    """The metrics of an evaluator of random attribute features on a device."""
    generator = torch.Generator().manual_seed(0)
    queries, count, size = 12, 96, 16
    features = torch.randn(len(MARKET1501), count, size, generator=generator)
    labels = torch.randint(0, 2, (count, len(MARKET1501)), generator=generator, dtype=torch.int8)
    evaluator = AttributeEvaluator(queries, count, MARKET1501, device=torch.device(device))
    pids = torch.arange(count) % 12
    return evaluator.evaluate_features(
        features.sum(dim=0), features, pids, torch.arange(count) // 12, labels, []
    )


def test_attribute_metrics_are_those_of_the_cpu():
    on_cpu, on_gpu = scored("cpu"), scored("cuda")
    assert on_gpu == pytest.approx(on_cpu, rel=1e-3)


@pytest.mark.parametrize("rerank", [False, True])
def test_scores_are_those_of_the_cpu(rerank):
    found = {}
    for device in ("cpu", "cuda"):
        cfg = config_of(config_file("bagtricks_r18_demo"))
        cfg.MODEL.DEVICE, cfg.TEST.RERANK.ENABLED = device, rerank
        evaluator = ReidEvaluator(cfg, 12)
        generator = torch.Generator().manual_seed(0)
        features, pids = torch.randn(96, 32, generator=generator).to(device), torch.arange(96) % 12
        evaluator.process({"targets": pids, "camids": torch.arange(96) // 12}, features)
        found[device] = evaluator.evaluate()
    assert found["cuda"] == pytest.approx(found["cpu"], rel=1e-3)


def test_reranked_distances_are_those_of_the_cpu():
    features = torch.nn.functional.normalize(
        torch.randn(60, 16, generator=torch.Generator().manual_seed(0)), dim=1
    )
    rows = [
        next(rows for _, rows in iter_jaccard_distances(features[:10], features[10:], device=device))
        for device in ("cpu", "cuda")
    ]
    torch.testing.assert_close(*map(torch.as_tensor, rows), atol=1e-4, rtol=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_extracted_features_and_a_search_in_them(workers, pictures):
    _, model = built("bagtricks_r18_demo")
    from fastreid.data.transforms import build_transforms

    transform = build_transforms(config_of(config_file("bagtricks_r18_demo")), is_train=False)
    features = Extractor(model.eval(), transform, batch_size=4, workers=workers, flip=True)(pictures)
    expected = Extractor(model.cpu(), transform, batch_size=4, flip=True)(pictures)
    assert abs(features - expected).max() < 2e-3 * abs(expected).max()
    assert GalleryIndex.build(features).search(features, 1)[1].flatten().tolist() == list(
        range(len(pictures))
    )


def test_an_interpreter_explains():
    cfg, model = built("amd_r18_demo")
    images = torch.rand(2, 3, *cfg.INPUT.SIZE_TEST) * 255
    found = Explainer(model.eval(), None).encode(images, looks=True)
    expected = Explainer(model.cpu(), None).encode(images, looks=True)
    scale = expected.features.abs().max()
    torch.testing.assert_close(found.features / scale, expected.features / scale, atol=2e-3, rtol=0)
    assert found.attention.device.type == "cpu"


@pytest.mark.parametrize("name", ["bagtricks_r18_demo", "airnet_r18_demo"])
def test_any_model_is_explained_and_shown(name):
    cfg, model = built(name)
    images = torch.rand(2, 3, *cfg.INPUT.SIZE_TEST) * 255
    assert PlainExplainer(model.eval(), None).encode(images).embeddings.device.type == "cpu"
    for maps in gradcam(model, images, layers=map_layers(model)).values():
        assert maps.device.type == "cpu"
        assert maps.isfinite().all()


def test_an_export_equals_its_model():
    """A trained model is loaded on the CPU for it, wherever it was trained."""
    _, model = built("bagtricks_r18_demo")
    model = model.eval().cpu()
    assert max(compare(model, to_onnx(model, (128, 64)), (128, 64))["largest_error"].values()) < 1e-4
