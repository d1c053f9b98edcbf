"""Several stages in one run: what a stage's config is, one command for all, resumed in either."""

import contextlib
import json
from pathlib import Path

import pytest
import torch
from fastreid.modeling.backbones import BACKBONE_REGISTRY

from fastreid_projects.config import get_key, load_config
from fastreid_projects.engine.main import main
from fastreid_projects.engine.stages import Stage, build_stages, hand_over, is_finished, untaken
from fastreid_projects.engine.trainer import Trainer, final_weights
from fastreid_projects.errors import ConfigError
from fastreid_projects.records.tables import markdown_table, read_record
from tests.conftest import build_tiny_backbone

if build_tiny_backbone.__name__ not in BACKBONE_REGISTRY._obj_map:
    BACKBONE_REGISTRY.register(build_tiny_backbone)

ROOT = Path(__file__).resolve().parents[2]
BOT = ROOT / "configs" / "demo" / "bagtricks_r18_demo.yml"
TWO = f"""
_BASE_: {BOT}
MODEL:
  DEVICE: cpu
  BACKBONE: {{NAME: build_tiny_backbone, FEAT_DIM: 16}}
  LOSSES: {{NAME: [CrossEntropyLoss]}}
INPUT: {{SIZE_TRAIN: [64, 32], SIZE_TEST: [64, 32]}}
DATASETS: {{NAMES: [Market1501], TESTS: [Market1501]}}
DATALOADER: {{NUM_WORKERS: 0}}
SOLVER: {{IMS_PER_BATCH: 8, MAX_EPOCH: 2, STEPS: [], WARMUP_EPOCHS: 0, CHECKPOINT_PERIOD: 1}}
TEST: {{EVAL_PERIOD: 2}}
STAGES:
  - NAME: first
    DATALOADER: {{SAMPLER_TRAIN: TrainingSampler}}
    SOLVER: {{OPT: SGD, BASE_LR: 0.01}}
  - NAME: second
    MODEL:
      LOSSES: {{NAME: [TripletLoss]}}
    SOLVER: {{BASE_LR: 0.0001, MAX_EPOCH: 3}}
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="two.yml"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def staged(path, *opts):
    return build_stages(load_config(path, opts))


def refusal(path, *opts):
    with pytest.raises(ConfigError) as error:
        staged(path, *opts)
    assert "\n" not in str(error.value)
    return str(error.value)


# A stage's config


def test_a_config_without_stages_is_one_stage():
    cfg = load_config(str(BOT))
    assert build_stages(cfg) == [Stage("", cfg)]


def test_each_stage_is_the_config_with_its_overrides(write):
    first, second = staged(write(TWO), "OUTPUT_DIR", "logs/x")
    assert (first.cfg.SOLVER.OPT, second.cfg.SOLVER.OPT) == ("SGD", "Adam")
    assert (first.cfg.SOLVER.MAX_EPOCH, second.cfg.SOLVER.MAX_EPOCH) == (2, 3)
    names = [tuple(stage.cfg.MODEL.LOSSES.NAME) for stage in (first, second)]
    assert names == [("CrossEntropyLoss",), ("TripletLoss",)]
    assert first.cfg.DATALOADER.SAMPLER_TRAIN == "TrainingSampler"
    assert second.cfg.DATALOADER.SAMPLER_TRAIN == "NaiveIdentitySampler"
    assert (first.cfg.OUTPUT_DIR, second.cfg.OUTPUT_DIR) == ("logs/x/first", "logs/x")
    assert not first.cfg.STAGES
    assert not second.cfg.STAGES


def test_the_command_line_holds_in_all_stages_or_in_the_one_it_names(write):
    path = write(TWO)
    assert [s.cfg.SOLVER.MAX_EPOCH for s in staged(path, "SOLVER.MAX_EPOCH", "7")] == [7, 7]
    assert [s.cfg.SOLVER.MAX_EPOCH for s in staged(path, "STAGES.second.SOLVER.MAX_EPOCH", "7")] == [2, 7]
    both = staged(path, "SOLVER.MAX_EPOCH", "7", "STAGES.first.SOLVER.MAX_EPOCH", "9")
    assert [s.cfg.SOLVER.MAX_EPOCH for s in both] == [9, 7]
    assert [s.cfg.SEED for s in staged(path, "SEED", "5")] == [5, 5]


def test_a_variant_goes_on_from_its_bases_stages(write):
    write(TWO)
    variant = "_BASE_: two.yml\nSTAGES:\n  - NAME: second\n    SOLVER: {MAX_EPOCH: 5}\n  - NAME: third\n"
    second, third = staged(write(variant, "variant.yml"))
    assert (second.name, third.name) == ("second", "third")
    assert (second.cfg.SOLVER.MAX_EPOCH, second.cfg.SOLVER.BASE_LR) == (5, 0.0001)
    assert third.cfg.SOLVER.MAX_EPOCH == 2
    assert len(staged(write("_BASE_: two.yml\nSTAGES: []\n", "none.yml"))) == 1


def test_a_stage_of_another_model(write, tmp_path, monkeypatch):
    write("MODEL:\n  BACKBONE:\n    DEPTH: 34x\n", "other.yml")
    text = TWO.replace("  - NAME: first\n", "  - NAME: first\n    CONFIG: other.yml\n    TAKES: [DATASETS]\n")
    text = text.replace(
        "  - NAME: second\n", "  - NAME: second\n    WEIGHTS_KEY: MODEL.BACKBONE.PRETRAIN_PATH\n"
    )
    path = write(text)
    opts = ("SEED", "4", "SOLVER.MAX_EPOCH", "9", "DATASETS.ID_FRACTION", "0.5")
    first, second = staged(path, *opts, "STAGES.first.SOLVER.STEPS", "[1]")
    assert (first.cfg.DATASETS.ID_FRACTION, second.cfg.DATASETS.ID_FRACTION) == (0.5, 0.5)
    assert first.cfg.DATASETS.NAMES == second.cfg.DATASETS.NAMES
    assert first.cfg.MODEL.BACKBONE.DEPTH == "34x"
    assert (first.cfg.SEED, first.cfg.MODEL.DEVICE) == (4, "cpu"), "a run has one seed and one device"
    assert (first.cfg.SOLVER.MAX_EPOCH, second.cfg.SOLVER.MAX_EPOCH) == (120, 9)
    assert first.cfg.SOLVER.STEPS == [1]
    assert second.weights_key == "MODEL.BACKBONE.PRETRAIN_PATH"
    hand_over(first, second)
    assert final_weights(first.cfg.OUTPUT_DIR) == second.cfg.MODEL.BACKBONE.PRETRAIN_PATH


@pytest.mark.parametrize("config", ["MPN/configs/demo/mpn_r18_demo.yml", "AMD/configs/demo/amd_r18_demo.yml"])
def test_a_first_model_is_trained_on_the_same_people(config):
    opts = ("DATASETS.ID_FRACTION", "0.5", "DATASETS.NAMES", "('DemoReIDMisaligned',)")
    first, second = staged(str(ROOT / "projects" / config), *opts)
    assert first.cfg.DATASETS == second.cfg.DATASETS
    assert first.cfg.DATASETS.ID_FRACTION == 0.5


MPN = str(ROOT / "projects" / "MPN" / "configs" / "demo" / "mpn_r18_demo.yml")


def test_data_and_machine_of_the_command_line_reach_a_first_model():
    opts = {
        "INPUT.SIZE_TRAIN": "[64, 32]",
        "INPUT.REA.ENABLED": "False",
        "MODEL.BACKBONE.PRETRAIN": "True",
        "SOLVER.AMP.DTYPE": "bfloat16",
        "DATALOADER.NUM_WORKERS": "0",
        "TEST.IMS_PER_BATCH": "16",
        "CUDNN_BENCHMARK": "True",
    }
    pairs = [word for pair in opts.items() for word in pair]
    ide, mpn = staged(MPN, *pairs, "STAGES.ide.INPUT.SIZE_TRAIN", "[96, 32]")
    for key in opts.keys() - {"INPUT.SIZE_TRAIN"}:
        assert get_key(ide.cfg, key) == get_key(mpn.cfg, key) == get_key(load_config(MPN, pairs), key), key
    assert (ide.cfg.INPUT.SIZE_TRAIN, mpn.cfg.INPUT.SIZE_TRAIN) == ([96, 32], [64, 32])
    first, _ = staged(MPN, "STAGES.ide.INPUT.SIZE_TRAIN", "[96, 32]", *pairs)
    assert first.cfg.INPUT.SIZE_TRAIN == [96, 32], "whichever comes first"
    assert staged(MPN)[0].cfg.INPUT.SIZE_TRAIN == [128, 64]


def test_what_a_first_model_does_not_take_is_named():
    opts = ("INPUT.SIZE_TRAIN", "[64, 32]", "SEED", "4", "OUTPUT_DIR", "x", "SOLVER.MAX_EPOCH", "9")
    stages = staged(MPN, *opts)
    (sentence,) = untaken(stages, opts)
    assert "Stage ide trains " in sentence
    assert (
        "where SOLVER.MAX_EPOCH from the command line has no effect; STAGES.ide.SOLVER.MAX_EPOCH" in sentence
    )
    own = (*opts, "STAGES.ide.SOLVER.MAX_EPOCH", "3")
    assert untaken(staged(MPN, *own), own) == []
    assert untaken(staged(str(BOT), "SEED", "4"), ("SEED", "4")) == []


def test_weights_that_are_there_need_no_stage_of_another_model():
    amd = str(ROOT / "projects" / "AMD" / "configs" / "demo" / "amd_r18_demo.yml")
    target, interpreter = staged(amd)
    assert (target.name, interpreter.name) == ("target", "interpreter")
    assert target.cfg.MODEL.META_ARCHITECTURE == "Baseline"
    assert target.reuse
    for key in ("MODEL.AMD.TARGET.WEIGHTS", "MODEL.WEIGHTS"):
        assert [stage.name for stage in staged(amd, key, "mine.pth")] == ["interpreter"]


def test_given_weights_are_where_the_first_stage_starts(write):
    first, second = staged(write(TWO), "MODEL.WEIGHTS", "mine.pth")
    assert first.cfg.MODEL.WEIGHTS == "mine.pth"
    first.cfg.MODEL.BACKBONE.PRETRAIN = second.cfg.MODEL.BACKBONE.PRETRAIN = True
    hand_over(first, second)
    assert final_weights(first.cfg.OUTPUT_DIR) == second.cfg.MODEL.WEIGHTS
    assert not second.cfg.MODEL.BACKBONE.PRETRAIN, "nothing is fetched that would be overwritten"


def test_mistakes_are_one_sentence(write):
    assert "STAGES first: there is no config key SOLVER.OPTT" in refusal(
        write(TWO.replace("OPT: SGD", "OPTT: SGD"))
    )
    assert "two stages with the same NAME" in refusal(write(TWO.replace("NAME: second", "NAME: first")))
    assert "NAME" in refusal(write(TWO.replace("NAME: second", "NAME: a/b")))
    assert "NAME" in refusal(write(TWO + "  - SEED: 1\n"))
    assert "STAGES.third.SEED is not a key of a stage" in refusal(write(TWO), "STAGES.third.SEED", "1")
    assert "first, second" in refusal(write(TWO), "STAGES.first", "1")
    assert "SOLVER.NOPE" in refusal(write(TWO), "STAGES.first.SOLVER.NOPE", "1")
    assert "WEIGHTS_KEY names MODEL.NOPE" in refusal(write(TWO + "    WEIGHTS_KEY: MODEL.NOPE\n"))
    for takes, words in (("[DATASET]", "TAKES names DATASET,"), ("DATASETS", "has to be a list")):
        assert words in refusal(write(f"{TWO}    CONFIG: two.yml\n    TAKES: {takes}\n", "takes.yml"))
    assert "nowhere.yml" in refusal(write(TWO + "    CONFIG: nowhere.yml\n"))
    assert "STAGES second: OUTPUT_DIR belongs" in refusal(write(TWO + "    OUTPUT_DIR: x\n"))
    assert "STAGES second: STAGES belongs" in refusal(write(TWO + "    STAGES: []\n"))


# A run


@pytest.fixture
def market(tmp_path, monkeypatch, tiny_market):
    return tiny_market(ids=4, test_ids=2, cameras=2, images=3, size=(32, 64))


def weights(path):
    return torch.load(path, weights_only=True)["model"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def starts(monkeypatch):
    """The weights and epochs that runs start with, by the name of their folder."""
    seen, load = {}, Trainer.resume_or_load

    def resume_or_load(self, resume=True):
        load(self, resume)
        state = {name: value.clone() for name, value in self.model.state_dict().items()}
        seen.setdefault(Path(self.cfg.OUTPUT_DIR).name, []).append((self.start_epoch, state))

    monkeypatch.setattr(Trainer, "resume_or_load", resume_or_load)
    return seen


class PowerCut(BaseException):
    """Ends a run as nothing that it could answer to."""


@contextlib.contextmanager
def interrupt(monkeypatch, folder, epoch):
    """End the training of a folder after an epoch's checkpoint, as a power cut would."""
    after = Trainer.after_epoch

    def after_epoch(self):
        after(self)
        if Path(self.cfg.OUTPUT_DIR).name == folder and self.epoch == epoch:
            raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "after_epoch", after_epoch)
        yield


def test_two_stages_in_one_command_and_resumed_in_either(market, write, tmp_path, monkeypatch, starts):
    path = write(TWO)

    def train(name, *flags):
        return main(["--config-file", path, *flags, "OUTPUT_DIR", str(tmp_path / name)])

    assert train("a") == 0
    out = tmp_path / "a"
    end_of_first = weights(out / "first" / "model_final.pth")
    ((epoch, start),) = starts["a"]
    assert epoch == 0
    assert same(start, end_of_first), "the second stage starts where the first one ended"
    assert not same(weights(out / "model_final.pth"), end_of_first), "and trains on"
    record = read_record(out)
    (stage,) = record["stages"]
    assert stage["name"] == "first"
    assert stage["metrics"] == json.loads((out / "first" / "run.json").read_text())["metrics"]
    minutes = (record["seconds"] + stage["seconds"]) / 60
    assert f"{minutes:.1f}" in markdown_table([("a", record)], ["mAP"])
    names = [sorted(r["metrics"]) for r in (record, stage)]
    assert names[0] == names[1]

    for name, folder, epoch, resumed_at in (("b", "first", 0, 0), ("c", "first", 1, 0), ("d", "d", 1, 2)):
        with interrupt(monkeypatch, folder, epoch), pytest.raises(PowerCut):
            train(name)
        starts.clear()
        assert train(name, "--resume") == 0
        first = [at for at, _ in starts.get("first", [])]
        assert first == ([] if name == "d" else [epoch + 1]), "trained only where it was not finished"
        assert starts[name][0][0] == resumed_at, "it continues where it was"
        assert (tmp_path / name / "first" / "run.json").is_file()
        assert is_finished(tmp_path / name)
        if name == "c":
            assert same(weights(tmp_path / name / "model_final.pth"), weights(out / "model_final.pth"))

    before = (out / "model_final.pth").stat().st_mtime_ns
    assert train("a", "--resume") == 0
    assert (out / "model_final.pth").stat().st_mtime_ns == before, "a finished run is only evaluated"

    evaluate = ["--eval-only", "--config-file", path, "OUTPUT_DIR", str(tmp_path / "e")]
    assert main([*evaluate, "MODEL.WEIGHTS", str(out / "model_final.pth")]) == 0
    assert read_record(tmp_path / "e")["metrics"] == pytest.approx(record["metrics"])
    assert "stages" not in read_record(tmp_path / "e")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("SOLVER.IMS_PER_BATCH", "6", "DATALOADER.NUM_INSTANCE"),
        ("SOLVER.OPT", "Nope", "SOLVER.OPT"),
        ("MODEL.HEADS.POOL_LAYER", "Nope", "MODEL.HEADS.POOL_LAYER"),
        ("MODEL.LOSSES.NAME", "('Nope',)", "MODEL.LOSSES.NAME"),
        ("MODEL.LOSSES.NAME", "('QuadrupletHardLoss',)", "quadruplet"),
        ("DATASETS.NAMES", "('DukeMTMC',)", "DukeMTMC-reID is not found"),
        ("DATASETS.TESTS", "('DukeMTMC',)", "DukeMTMC-reID is not found"),
        ("MODEL.BACKBONE.FEAT_DIM", "8", "MODEL.BACKBONE.FEAT_DIM"),
        ("MODEL.BACKBONE", "{'NAME':'build_resnet_backbone','DEPTH':'18x','FEAT_DIM':512}", "another model"),
        ("SOLVER.IMS_PER_BATCH", "64", "SOLVER.IMS_PER_BATCH"),
    ],
)
def test_a_mistake_in_a_later_stage_is_found_before_the_first(
    market, write, tmp_path, capsys, starts, key, value, words
):
    out = tmp_path / "a"
    assert main(["--config-file", write(TWO), f"STAGES.second.{key}", value, "OUTPUT_DIR", str(out)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: STAGES second: ")
    assert words in error
    assert not starts
    assert not out.exists()


def power_cut(trainer):
    raise PowerCut


def test_a_fresh_start_forgets_an_older_run(market, write, tmp_path, monkeypatch, starts):
    """Else a resume after an early interruption would take the older run's weights for the new one's."""
    path, out = write(TWO), tmp_path / "a"
    train = ["--config-file", path, "SOLVER.MAX_EPOCH", "1", "OUTPUT_DIR", str(out)]
    assert main(train) == 0
    assert is_finished(out)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", power_cut)
        with pytest.raises(PowerCut):
            main(train)
    assert not is_finished(out)
    assert not is_finished(out / "first")
    starts.clear()
    assert main([*train[:2], "--resume", *train[2:]]) == 0
    assert starts["first"][0][0] == 0


def test_a_stage_that_may_be_reused(market, write, tmp_path, starts):
    path = write(TWO.replace("  - NAME: first\n", "  - NAME: first\n    REUSE: True\n"))
    for _ in range(2):
        assert main(["--config-file", path, "SOLVER.MAX_EPOCH", "1", "OUTPUT_DIR", str(tmp_path / "a")]) == 0
    assert len(starts["first"]) == 1
    assert len(starts["a"]) == 2
    log = tmp_path / "a" / "log.txt"
    assert "Stage first was trained with" not in log.read_text()
    keys = ["SOLVER.MAX_EPOCH", "1", "OUTPUT_DIR", str(tmp_path / "a"), "SOLVER.WEIGHT_DECAY", "0.5"]
    assert main(["--config-file", path, *keys]) == 0
    assert len(starts["first"]) == 1
    assert "Stage first was trained with SOLVER.WEIGHT_DECAY" in (tmp_path / "a" / "log.txt").read_text()
