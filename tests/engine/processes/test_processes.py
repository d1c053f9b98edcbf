"""Several processes on the CPU: gradients, training runs, evaluations, and what happens when one fails."""

import argparse
import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from typing import NamedTuple

import pytest
import torch

from fastreid_projects.command_line.one_sentence import one_sentence
from fastreid_projects.config import load_config
from fastreid_projects.engine.arguments import argument_parser
from fastreid_projects.engine.main import main
from fastreid_projects.engine.processes import supervise
from fastreid_projects.engine.processes.launch import cores_for, launch
from fastreid_projects.engine.run import run
from tests.architectures import small_configs
from tests.conftest import write_market
from tests.engine import process_work
from tests.engine.test_run import write_attributes
from tests.plugin_files import restored_registries, write_loss
from tests.yaml_files import ROOT, config_file

PRELOAD = [process_work.__name__, "fastreid_projects.engine.processes.launch", "torch._dynamo"]
SBS = str(ROOT / "configs" / "demo" / "sbs_r18_demo.yml")
SMALL = {
    "DATASETS.NAMES": "('Market1501',)",
    "DATASETS.TESTS": "('Market1501',)",
    "DATALOADER.NUM_WORKERS": "0",
    "DATALOADER.NUM_INSTANCE": "2",
    "SOLVER.IMS_PER_BATCH": str(process_work.BATCH),
    "SOLVER.WARMUP_ITERS": "0",
    "SOLVER.DELAY_EPOCHS": "0",
    "SOLVER.STEPS": "[]",
    "SOLVER.MAX_EPOCH": "1",
    "INPUT.SIZE_TRAIN": "[64, 32]",
    "INPUT.SIZE_TEST": "[64, 32]",
    "TEST.EVAL_PERIOD": "1",
    "TEST.IMS_PER_BATCH": "2",  # an image at a time: the last bits of a feature depend on how many there are
    "MODEL.DEVICE": "cpu",
}


class Model(NamedTuple):
    """A model whose gradients are compared; ``frozen`` batch norms use their running statistics."""

    config: object
    frozen: bool = False


def arguments(config_file="", opts=(), **more):
    """A command line of two processes on this machine."""
    args = argument_parser().parse_args(["--config-file", config_file, "--num-gpus", "2"])
    return argparse.Namespace(**{**vars(args), "opts": list(opts), **more})


def small(config_file, **keys):
    """A config's options for the tiny data."""
    return [word for pair in {**SMALL, **keys}.items() for word in pair]


def start(work, args):
    """Start the processes as the command does; its exit code."""
    try:
        return one_sentence(lambda: launch(work, args), debug=False)
    except SystemExit as end:
        return end.code


@pytest.fixture(autouse=True)
def _forks(monkeypatch):
    """Processes that are forked from one that has imported everything: seconds less for each."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOAD)
    monkeypatch.setattr(supervise, "START_METHOD", "forkserver")


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """The folder of all datasets: a tiny Market-1501 with attributes and an odd number of test images."""
    root = tmp_path_factory.mktemp("datasets")
    folder = write_market(root, ids=6, test_ids=3, cameras=2, images=2, size=(32, 64))
    write_attributes(folder, range(2, 11))
    sorted((folder / "bounding_box_test").iterdir())[0].unlink()
    return root


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Where the pair of processes leaves what it found."""
    return tmp_path_factory.mktemp("pair")


def first_stage(path, base):
    """A config of the tiny data for a stage that has its own."""
    groups = {"_BASE_": f" {base}"}
    for key, value in SMALL.items():
        group, name = key.split(".", 1)
        groups[group] = groups.get(group, "") + f"\n  {name}: {value}"
    path.write_text("\n".join(f"{group}:{text}" for group, text in groups.items()))
    return str(path)


def jobs(files):
    """The runs of all papers with stages: AMD with its report, MPN with averaged weights and batches in parts, SAL."""
    amd = {
        "MODEL.AMD.TARGET.CONFIG": first_stage(files / "target.yml", SBS),
        "MODEL.AMD.REPORT.PAIRS": "1",
        "MODEL.AMD.TEST.DELETION_PAIRS": "0",
        "TEST.RERANK.ENABLED": "True",
        "TEST.FLIP.ENABLED": "True",
    }
    mpn = {
        "MODEL.MPN.IDE": first_stage(files / "ide.yml", config_file("mpn_ide_r18_demo")),
        "MODEL.MPN.WIDTH": "16",
        "MODEL.MPN.PRIOR.TYPE": "uniform",
        "TEST.FIDELITY.ENABLED": "True",
        "TEST.AQE.ENABLED": "True",
    }
    averaged = {"TRAINING.EMA": "0.5", "TRAINING.ACCUMULATION": "3", "SOLVER.MAX_EPOCH": "2"}
    named = {
        "amd": (config_file("amd_r18_demo"), amd),
        "mpn": (config_file("mpn_r18_demo"), mpn | averaged),
        "sal": (config_file("sal_r18_demo"), {"TEST.FIDELITY.TRAIN": "True"}),
    }
    return {
        name: arguments(str(path), small(str(path), **keys, OUTPUT_DIR=str(files / name)))
        for name, (path, keys) in named.items()
    }


def models(files):
    """Every architecture as it is configured; AMD; one without a classifier's loss; one that equals one process."""
    classes = {"MODEL.HEADS.NUM_CLASSES": str(process_work.IDS), "MODEL.BACKBONE.PRETRAIN": "False"}
    found = {}
    for name, path in small_configs().items():
        size = "[96, 32]" if name.startswith("MGN") else "[64, 32]"
        own = {"INPUT.SIZE_TRAIN": size}
        own |= (
            {"MODEL.MPN.PRIOR.TYPE": "uniform"} if name.startswith("MPN") else {}
        )  # the batch holds no masks
        found[name] = Model(load_config(str(path), small(str(path), **classes, **own)))
    amd = jobs(files)["amd"]
    weights = ["MODEL.AMD.TARGET.WEIGHTS", str(files / "amd" / "target" / "model_final.pth")]
    found["AMD"] = Model(load_config(amd.config_file, [*amd.opts, *weights]))
    for name, losses, frozen in (
        ("no logits", "('BatchHardTripletLoss',)", False),
        ("joined", "('CrossEntropyLoss', 'FIDILoss')", True),
    ):
        path = ROOT / "projects" / "AIRNet" / "configs" / "demo" / "airnet_r18_demo.yml"
        own = {"MODEL.LOSSES.NAME": losses, "MODEL.LOSSES.FIDI.GATHER": "True"}
        found[name] = Model(load_config(str(path), small(str(path), **classes, **own)), frozen)
    return found


@pytest.fixture(scope="module")
def pair(market, files):
    """One pair of processes for most tests: starting one takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOAD)
        patch.setattr(supervise, "START_METHOD", "forkserver")
        patch.delenv("OMP_NUM_THREADS", raising=False)
        patch.setenv("FASTREID_DATASETS", str(market))
        found = models(files)
        work = arguments(root=str(market), folder=str(files), jobs=list(jobs(files).values()), models=found)
        assert start(process_work.everything, work) == 0
    return [torch.load(files / f"{rank}.pt") for rank in range(2)], found


@pytest.fixture
def one_thread(market, monkeypatch):
    """The tiny data, and one thread, as each of the processes has."""
    monkeypatch.setenv("FASTREID_DATASETS", str(market))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def halves(model):
    """What one process makes of either half of the batch: the losses, and the mean of the gradients."""
    network, whole, size = (
        process_work.build(model),
        process_work.batch(model.config),
        process_work.BATCH // 2,
    )
    parts = [{k: v[i : i + size] for k, v in whole.items()} for i in (0, size)]
    steps = [process_work.step(network, part, rank) for rank, part in enumerate(parts)]
    pairs = {name: (g, steps[1]["gradients"][name]) for name, g in steps[0]["gradients"].items()}
    return [s["losses"] for s in steps], {
        n: None if a is None else (a + b) / 2 for n, (a, b) in pairs.items()
    }


def check_gradients(found, expected):
    assert list(found) == list(expected)
    for name, gradient in expected.items():
        if gradient is None:
            assert found[name] is None, f"{name} has no gradient in one process"
        else:
            scale = float(gradient.abs().max())
            torch.testing.assert_close(found[name], gradient, atol=1e-4 * scale + 1e-7, rtol=1e-3, msg=name)


def test_gradients_are_the_mean_of_the_processes(pair, one_thread):
    """Batch statistics and the losses of pairs are of each process: the gradient is the mean of theirs."""
    results, found = pair
    for name, model in found.items():
        if model.frozen:
            continue
        losses, mean = halves(model)
        for rank in range(2):
            step = results[rank]["models"][name]
            assert step["losses"].keys() == losses[0].keys(), "the same losses on every rank"
            assert step["losses"] == pytest.approx(losses[rank], rel=1e-3, abs=1e-5), name
            check_gradients(step["gradients"], mean)
    unused = results[0]["models"]["no logits"]["gradients"]
    assert any(g is None for n, g in unused.items() if n.endswith(".weight") and "heads" in n)


def test_gradients_of_one_process_with_the_joined_batch(pair, one_thread):
    """Where batch norms are frozen and losses are means over images, or gather."""
    results, found = pair
    joined = process_work.step(
        process_work.build(found["joined"]), process_work.batch(found["joined"].config), 0
    )
    for result in results:
        check_gradients(result["models"]["joined"]["gradients"], joined["gradients"])


def test_trainings_leave_one_set_of_files_and_an_evaluation_that_one_process_repeats(pair, files, one_thread):
    for name, job in jobs(files).items():
        record = json.loads((files / name / "run.json").read_text())
        assert record["processes"] == 2
        assert not list((files / name).rglob("*.part"))
        assert {path.name for path in (files / name).glob("*rank1*")} == {"log.txt.rank1"}
        assert len(list((files / name).glob("events*"))) == 1
        log = (files / name / "log.txt").read_text()
        assert log.count("Run record written") == 1
        again = files / f"{name}_again"
        own = {
            "MODEL.WEIGHTS": files / name / "model_final.pth",
            "OUTPUT_DIR": again,
            "TEST.IMS_PER_BATCH": 1,
        }
        opts = [*job.opts, *(str(word) for pair in own.items() for word in pair)]
        run(load_config(job.config_file, opts), argparse.Namespace(**{**vars(job), "eval_only": True}))
        one = json.loads((again / "run.json").read_text())
        assert one["processes"] == 1
        assert one["metrics"] == record["metrics"], (
            "query and gallery in order, nothing twice, equal statistics"
        )
    assert (files / "amd" / "report" / "report.html").is_file()
    saved = torch.load(files / "mpn" / "model_final.pth", weights_only=True)
    trained = saved["average"]["trained"]
    assert any(not torch.equal(saved["model"][name], value) for name, value in trained.items())
    for stage in ("amd/target", "mpn/ide", "sal/softmax"):
        assert json.loads((files / stage / "run.json").read_text())["processes"] == 2


def test_a_poisoned_loss_ends_all_with_its_own_sentence(market, tmp_path, capfd):
    args = arguments(SBS, small(SBS, OUTPUT_DIR=str(tmp_path / "out")), root=str(market), poison=True)
    assert start(process_work.train, args) == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: loss_cls is nan")
    assert "on rank 1 (images " in last
    assert not list((tmp_path / "out").glob("model*.pth"))


def test_a_broken_image_ends_all_with_its_own_sentence(market, tmp_path, capfd):
    for path in (market / "Market-1501-v15.09.15").glob("*/*.jpg"):
        copy = tmp_path / path.relative_to(market)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    victim = sorted((tmp_path / "Market-1501-v15.09.15" / "bounding_box_train").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:200])
    args = arguments(SBS, small(SBS, OUTPUT_DIR=str(tmp_path / "out")), root=str(tmp_path))
    assert start(process_work.train, args) == 2
    shown = capfd.readouterr()
    assert victim.name in shown.err.strip().splitlines()[-1]
    assert "Traceback" not in shown.out + shown.err, "the other process says nothing of a closed connection"


def test_a_mistake_in_the_config_is_found_before_anything_starts(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(supervise, "supervise", None)
    assert main(["--config-file", SBS, "--num-gpus", "2", "SOLVER.NOPE", "1"]) == 2
    assert "SOLVER.NOPE" in capsys.readouterr().err


@pytest.mark.parametrize(
    "way, bad_rank, hang, code, words",
    [
        ("crash", 0, False, 1, "ZeroDivisionError: nothing to divide by"),
        ("crash", 1, True, 1, "ZeroDivisionError: nothing to divide by"),
        ("killed", 0, True, 2, "SIGKILL"),
        ("exit", 1, False, 143, ""),
    ],
)
def test_one_process_that_fails_ends_all(way, bad_rank, hang, code, words, capfd):
    began = time.monotonic()
    assert start(process_work.fail, arguments(way=way, bad_rank=bad_rank, hang=hang)) == code
    assert time.monotonic() - began < 1800, "a hanging process would take two hours"
    last = [*capfd.readouterr().err.strip().splitlines(), ""][0 if code == 143 else -2]
    assert words in last


def test_two_machines(tmp_path, capfd):
    """Two starts on this machine; the second process fails, and both say why."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    common = {"num_gpus": 1, "num_machines": 2, "dist_url": url, "way": "none", "bad_rank": 1, "hang": False}
    for way, expected in (("none", [0, 0]), ("crash", [2, 1])):
        codes = [None, None]

        def machine(rank, way=way, codes=codes):
            codes[rank] = start(process_work.fail, arguments(**{**common, "way": way, "machine_rank": rank}))

        machines = [threading.Thread(target=machine, args=(rank,)) for rank in range(2)]
        for thread in machines:
            thread.start()
        for thread in machines:
            thread.join(timeout=600)
        assert codes == expected, capfd.readouterr().err
    assert "error: ZeroDivisionError: nothing to divide by" in capfd.readouterr().err


def test_plug_ins_are_known_to_all(market, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(market))
    loss = str(write_loss(tmp_path / "loss.py"))
    own = {"PLUGINS": f"['{loss}']", "MODEL.LOSSES.NAME": "('PluginLoss',)"}
    with restored_registries():
        opts = small(SBS, **own, OUTPUT_DIR=str(tmp_path / "out"))
        assert main(["--config-file", SBS, "--num-gpus", "2", *opts]) == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["processes"] == 2
    assert [plugin["path"] for plugin in record["plugins"]] == [loss]


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"num_gpus": 0}, "--num-gpus is 0"),
        ({"num_machines": 2, "machine_rank": 2}, "it has to be 0 to 1"),
        ({"num_machines": 2, "dist_url": "auto"}, "--dist-url auto"),
        ({"num_machines": 2, "dist_url": "nothing"}, "--dist-url nothing"),
    ],
)
def test_arguments_that_cannot_be(wrong, words, capfd):
    assert start(process_work.fail, arguments(way="none", bad_rank=0, hang=False, **wrong)) == 2
    assert words in capfd.readouterr().err.strip().splitlines()[-1]


def test_more_processes_than_gpus(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert main(["--config-file", SBS, "--num-gpus", "2", "MODEL.DEVICE", "cuda"]) == 2
    assert "this machine has 1" in capsys.readouterr().err


def test_cores_are_shared_out(pair, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(10)))
    assert [cores_for(n) for n in (1, 2, 4, 16)] == [10, 5, 2, 1]
    assert pair[0][0]["threads"] >= 1


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("way", ["to the command alone", "to all, as by a terminal"])
def test_a_signal_saves_a_checkpoint(way, signum, market, tmp_path, capfd, monkeypatch):
    """The signal is sent by the first rank, in its third iteration."""
    monkeypatch.setenv("FASTREID_DATASETS", str(market))
    keys = {"OUTPUT_DIR": str(tmp_path / "out"), "SOLVER.MAX_EPOCH": "50", "TEST.EVAL_PERIOD": "50"}
    alone = way == "to the command alone"
    args = arguments(
        SBS, small(SBS, **keys), root=str(market), starter=os.getpid(), signum=int(signum), alone=alone
    )
    assert start(process_work.interrupted, args) == 128 + signum
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert "saved as" in last
    assert "Resume with: " in last
    assert (tmp_path / "out" / "model_interrupted.pth").is_file()
