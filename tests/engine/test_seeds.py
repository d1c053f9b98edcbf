"""``--seeds``: several runs of one config, and a table from their records."""

import json
import statistics
from pathlib import Path

import pytest
import torch

from fastreid_projects.engine.arguments import argument_parser
from fastreid_projects.engine.main import main
from fastreid_projects.records.tables import markdown_table, read_runs, total_seconds
from tests.conftest import write_market

ROOT = Path(__file__).resolve().parents[2]
AIRNET = str(ROOT / "projects" / "AIRNet" / "configs" / "demo" / "airnet_r18_demo.yml")
SMALL = [
    *(
        "DATASETS.NAMES",
        "('Market1501',)",
        "DATASETS.TESTS",
        "('Market1501',)",
        "DATALOADER.NUM_WORKERS",
        "0",
    ),
    *(
        "SOLVER.IMS_PER_BATCH",
        "8",
        "SOLVER.WARMUP_EPOCHS",
        "0",
        "SOLVER.MAX_EPOCH",
        "2",
        "SOLVER.STEPS",
        "[1]",
        "TEST.EVAL_PERIOD",
        "2",
    ),
    *("INPUT.SIZE_TRAIN", "[32, 32]", "INPUT.SIZE_TEST", "[32, 32]", "MODEL.DEVICE", "cpu"),
]


@pytest.fixture
def market(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "data"))
    return write_market(tmp_path / "data", ids=4, test_ids=3, cameras=2, images=3, size=(32, 64))


def run(*words, out):
    return main(["--config-file", AIRNET, *words, *SMALL, "OUTPUT_DIR", str(out)])


def record(folder):
    return json.loads((folder / "run.json").read_text())


def weights(folder):
    return torch.load(folder / "model_final.pth", weights_only=True)["model"]


def test_runs_of_all_seeds_and_their_table(market, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("--seeds", "3", "5", out=out) == 0
    printed = capsys.readouterr().out
    table = (out / "seeds.md").read_text()
    assert table.strip() in printed
    records = {seed: record(out / f"seed_{seed}") for seed in (3, 5)}
    assert all(record["seed"] == seed for seed, record in records.items())
    summary = json.loads((out / "seeds.json").read_text())
    assert summary["seeds"] == [3, 5]
    for name in ("Rank-1", "mAP", "mINP"):
        values = [record["metrics"][name] for record in records.values()]
        mean, std = statistics.fmean(values), statistics.stdev(values)
        assert summary["metrics"][name] == pytest.approx({"mean": mean, "std": std})
        assert f"{mean:.2f} ± {std:.2f}" in table.splitlines()[-1]
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == [
        "seed 3",
        "seed 5",
        "mean ± std of 2",
    ]
    first, second = weights(out / "seed_3"), weights(out / "seed_5")
    assert not all(torch.equal(first[name], second[name]) for name in first)

    assert main(["--config-file", AIRNET, *SMALL, "OUTPUT_DIR", str(tmp_path / "one"), "SEED", "5"]) == 0
    alone = weights(tmp_path / "one")
    assert all(torch.equal(alone[name], second[name]) for name in alone), "the same as by itself"

    (out / "seeds.md").unlink()
    assert run("--eval-only", "--seeds", "3", "5", out=out) == 0
    assert (out / "seeds.md").is_file()
    for seed, before in records.items():
        assert record(out / f"seed_{seed}")["metrics"] == pytest.approx(before["metrics"])
    assert run("--resume", "--seeds", "3", "5", out=out) == 0
    for seed, before in records.items():
        after = record(out / f"seed_{seed}")
        assert after["training"] == {
            k: v for k, v in before.items() if k not in ("config", "metrics", "counts")
        }
        assert total_seconds(after) == before["seconds"], "the training's, after two evaluations"
    other = str(out / "seed_3" / "model_final.pth")
    assert (
        main(
            [
                "--eval-only",
                "--config-file",
                AIRNET,
                *SMALL,
                "MODEL.WEIGHTS",
                other,
                "OUTPUT_DIR",
                str(tmp_path / "one"),
            ]
        )
        == 0
    )
    assert record(tmp_path / "one")["training"] == {}, "another model's"

    mean = summary["metrics"]["mAP"]
    row = markdown_table([("AIR-Net", read_runs(out))], ["mAP"]).splitlines()[-1]
    assert f"{mean['mean']:.2f} ± {mean['std']:.2f}" in row


def test_seeds_may_stand_anywhere():
    parser = argument_parser()
    for words in (
        ["--seeds", "0", "1", "2", "--config-file", "x.yml", "SOLVER.MAX_EPOCH", "3"],
        ["--config-file", "x.yml", "--seeds", "0", "1", "2", "SOLVER.MAX_EPOCH", "3"],
        ["--config-file", "x.yml", "SOLVER.MAX_EPOCH", "3", "--seeds", "0", "1", "2"],
        ["--config-file", "x.yml", "--seeds=0,1,2", "SOLVER.MAX_EPOCH", "3"],
    ):
        args = parser.parse_args(words)
        assert (args.seeds, args.config_file, args.opts) == ([0, 1, 2], "x.yml", ["SOLVER.MAX_EPOCH", "3"])
    assert parser.parse_args(["--config-file", "x.yml", "--resume"]).seeds is None


@pytest.mark.parametrize("words", [[], ["SEED", "3"], ["-1"], ["1", "1"], ["one"], ["0", "4294967296"]])
def test_what_are_no_seeds(words, capsys):
    with pytest.raises(SystemExit) as error:
        argument_parser().parse_args(["--seeds", *words])
    assert error.value.code == 2
    assert "--seeds" in capsys.readouterr().err.splitlines()[-1]


def test_all_seeds_run_in_one_process_group(market, tmp_path, monkeypatch):
    """The host keeps its first process group for good (utils/comm.py:81), a second one would be another."""
    launched, seeds = [], []
    monkeypatch.setattr("fastreid_projects.engine.main.run", lambda cfg, args: seeds.append(cfg.SEED))
    monkeypatch.setattr("fastreid_projects.engine.seeds.write_table", lambda *args: "")

    def launch(work, args):
        launched.append(args.seeds)
        work(args)

    monkeypatch.setattr("fastreid_projects.engine.main.launch", launch)
    assert run("--seeds", "0", "4", out=tmp_path / "out") == 0
    assert (launched, seeds) == ([[0, 4]], [0, 4])


def test_a_mistake_in_one_run_leaves_no_table(market, tmp_path, capsys):
    out = tmp_path / "out"
    code = main(
        ["--config-file", AIRNET, "--seeds", "0", "1", *SMALL, "OUTPUT_DIR", str(out), "SOLVER.BASE_LR", "0"]
    )
    assert code == 2
    assert "SOLVER.BASE_LR" in capsys.readouterr().err.splitlines()[-1]
    assert not (out / "seeds.md").exists()
    assert not (out / "seeds.json").exists()
    assert main(["--config-file", AIRNET, "--seeds", "0", *SMALL, "OUTPUT_DIR", ""]) == 2
    assert "OUTPUT_DIR is empty" in capsys.readouterr().err.splitlines()[-1]


def test_evaluating_seeds_that_were_not_trained(market, tmp_path, capsys):
    assert run("--eval-only", "--seeds", "0", out=tmp_path / "out") == 2
    assert "seed_0" in capsys.readouterr().err.splitlines()[-1]
