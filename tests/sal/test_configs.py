"""Table 1 row by row, every stage of every config, and one command that trains, resumes and evaluates."""

import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

from fastreid_projects.config import load_config
from fastreid_projects.config.checks import check_host_config, check_training_config
from fastreid_projects.engine.main import main
from fastreid_projects.engine.stages import build_stages, is_finished
from fastreid_projects.records.tables import read_record
from tests.yaml_files import RUNNABLE, config_file

CE, SAC, QUAD, TRIPLET = (
    "CrossEntropyLoss",
    "SelfAttentionConstraint",
    "QuadrupletHardLoss",
    "BatchHardTripletLoss",
)
# Table 1: name -> (dilated and multi-level, losses of the softmax stage, losses of the second stage).
ROWS = {
    "sal_ce": (False, {CE}, None),
    "sal_quadruplet": (False, None, {QUAD}),
    "sal_ce_quadruplet": (False, {CE}, {CE, QUAD}),
    "sal_ce_triplet": (False, {CE}, {CE, TRIPLET}),
    "sal_ce_dilated": (True, {CE}, None),
    "sal_ce_quadruplet_dilated": (True, {CE}, {CE, QUAD}),
    "sal_ce_dilated_constraint": (True, {CE, SAC}, None),
    "sal_quadruplet_dilated_constraint": (True, None, {QUAD, SAC}),
    "sal": (True, {CE, SAC}, {CE, SAC, QUAD}),
}
ALL = sorted(path.name for path in RUNNABLE if path.stem.split("_")[0] == "sal")


def stages_of(name):
    return build_stages(load_config(str(config_file(name))))


@pytest.mark.parametrize("kind", ["r50_market1501", "r18_demo"])
@pytest.mark.parametrize("row", ROWS)
def test_rows_of_table_1(row, kind):
    dilated, softmax, second = ROWS[row]
    stages = stages_of(f"{row}_{kind}.yml")
    assert [set(stage.cfg.MODEL.LOSSES.NAME) for stage in stages] == [x for x in (softmax, second) if x]
    assert [stage.name for stage in stages] == [
        n for n, x in (("softmax", softmax), ("quadruplet", second)) if x
    ]
    for stage in stages:
        assert (stage.cfg.MODEL.BACKBONE.NAME == "build_dilated_resnet_backbone") == dilated
        if not dilated:
            assert stage.cfg.MODEL.BACKBONE.LAST_STRIDE == 2
        identity = stage.name == "quadruplet"
        assert (stage.cfg.DATALOADER.SAMPLER_TRAIN == "NaiveIdentitySampler") == identity


def test_the_papers_values():
    softmax, second = (stage.cfg for stage in stages_of("sal_r50_market1501.yml"))
    for cfg, rate, batch in ((softmax, 0.1, 128), (second, 1e-4, 72)):
        assert ("SGD", rate, batch) == (cfg.SOLVER.OPT, cfg.SOLVER.BASE_LR, cfg.SOLVER.IMS_PER_BATCH)
        assert (list(cfg.SOLVER.STEPS), cfg.SOLVER.GAMMA) == ([50, 100], 0.1)
        assert (list(cfg.INPUT.SIZE_TRAIN), cfg.MODEL.HEADS.EMBEDDING_DIM) == ([256, 128], 1024)
        losses = cfg.MODEL.LOSSES
        assert (losses.QUADRUPLET.MARGIN1, losses.QUADRUPLET.MARGIN2) == (0.5, 0.2)
        assert losses.SAC.SCALE == losses.QUADRUPLET.SCALE == losses.CE.SCALE == 1
    assert second.DATALOADER.NUM_INSTANCE == 4
    (triplet,) = stages_of("sal_ce_triplet_r50_market1501.yml")[1:]
    assert triplet.cfg.MODEL.LOSSES.BATCH_HARD.MARGIN == 0.5


@pytest.mark.parametrize("row", ROWS)
def test_all_rows_of_the_demo_train_six_epochs(row):
    assert sum(stage.cfg.SOLVER.MAX_EPOCH for stage in stages_of(f"{row}_r18_demo.yml")) == 6


@pytest.mark.parametrize("name", ALL)
def test_every_stage_fits_and_its_model_takes_images(name):
    for stage in stages_of(name):
        cfg = stage.cfg
        check_host_config(cfg)
        check_training_config(cfg)
        cfg.MODEL.BACKBONE.PRETRAIN = False
        cfg.MODEL.HEADS.NUM_CLASSES = 5
        with torch.device("meta"):
            model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg).eval()
            out = model.heads(model.backbone(torch.empty(2, 3, *cfg.INPUT.SIZE_TEST)))
        assert out.shape[0] == 2


@pytest.mark.parametrize("data", ["market1501", "dukemtmc"])
def test_reranked_configs_differ_in_the_ranking_alone(data):
    plain, ranked = (stages_of(f"{name}_r50_{data}.yml")[-1].cfg for name in ("sal", "sal_rerank"))
    assert (plain.TEST.RERANK.ENABLED, ranked.TEST.RERANK.ENABLED) == (False, True)
    ranked.TEST.RERANK.ENABLED, ranked.OUTPUT_DIR, ranked.MODEL.WEIGHTS = (
        False,
        plain.OUTPUT_DIR,
        plain.MODEL.WEIGHTS,
    )
    assert ranked.dump() == plain.dump()


def test_one_command_trains_resumes_and_evaluates(tmp_path, tiny_market):
    tiny_market(ids=4, images=3, size=(32, 64))
    out = tmp_path / "out"
    opts = [
        "DATASETS.NAMES",
        "('Market1501',)",
        "DATASETS.TESTS",
        "('Market1501',)",
        "DATALOADER.NUM_WORKERS",
        "0",
    ]
    opts += [
        "SOLVER.MAX_EPOCH",
        "1",
        "SOLVER.STEPS",
        "[]",
        "SOLVER.IMS_PER_BATCH",
        "8",
        "DATALOADER.NUM_INSTANCE",
        "2",
    ]
    opts += ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(out)]
    command = ["--config-file", str(config_file("sal_r18_demo.yml"))]
    assert main([*command, *opts]) == 0
    assert is_finished(out / "softmax")
    assert is_finished(out)
    log = (out / "metrics.json").read_text()
    assert "loss_quadruplet_hard" in log
    assert "loss_self_attention_constraint" in log
    assert "loss_quadruplet_hard" not in (out / "softmax" / "metrics.json").read_text()
    metrics = read_record(out)["metrics"]
    assert main([*command, "--resume", *opts]) == 0
    weights = ["MODEL.WEIGHTS", str(out / "model_final.pth")]
    assert main([*command, "--eval-only", *opts, *weights]) == 0
    assert read_record(out)["metrics"] == pytest.approx(metrics)
    assert main([*command, "--eval-only", *opts, *weights, "TEST.RERANK.ENABLED", "True"]) == 0


def test_a_batch_without_three_identities_is_one_sentence(tmp_path, tiny_market, capsys):
    tiny_market(ids=4, images=3, size=(32, 64))
    opts = ["DATASETS.NAMES", "('Market1501',)", "DATASETS.TESTS", "('Market1501',)", "MODEL.DEVICE", "cpu"]
    opts += ["SOLVER.IMS_PER_BATCH", "8", "OUTPUT_DIR", str(tmp_path / "out")]
    assert main(["--config-file", str(config_file("sal_quadruplet_r18_demo.yml")), *opts]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "2 identities" in last
