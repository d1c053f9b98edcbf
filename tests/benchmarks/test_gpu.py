"""`make gpu` on a CPU: parts end at their limit, results so far are kept, and the page reports them."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from fastreid_projects.benchmarks import beside_host
from fastreid_projects.benchmarks.cases import all_cases
from fastreid_projects.benchmarks.gpu import parts, run
from fastreid_projects.benchmarks.gpu.page import write_page
from fastreid_projects.benchmarks.gpu.parts import PARTS, Choice, Part, chosen_parts
from fastreid_projects.benchmarks.gpu.short_runs import movement, short_opts, train
from fastreid_projects.commands import gpu
from fastreid_projects.config import load_config
from fastreid_projects.config.finding import find_config
from fastreid_projects.engine.stages import build_stages
from fastreid_projects.errors import ConfigError, DataError, InterruptedRunError
from fastreid_projects.plugins import PAPERS
from tests.shortened import draw_few

ROOT = Path(__file__).resolve().parents[2]
MEASURED = {"case": "search", "name": "flat", "seconds": 0.5, "peak_mib": None, "ratio": 2.0, "cost": None}


@pytest.fixture
def choice(tmp_path):
    return Choice(tmp_path, "cpu", True)


@pytest.fixture
def own_parts(monkeypatch):
    """A factory: let the parts be these programs, which get the path of their results as an argument."""

    def make(**programs):
        made = {
            name: Part(
                name.title(), 600, lambda choice, output, code=code: [sys.executable, "-c", code, str(output)]
            )
            for name, code in programs.items()
        }
        monkeypatch.setattr(parts, "PARTS", made)
        monkeypatch.setattr("fastreid_projects.benchmarks.gpu.page.PARTS", made)
        return made

    return make


WRITES = f"""import json, sys
json.dump({{'measurements': [{MEASURED}]}}, open(sys.argv[1], 'w'))
print('written', flush=True)
"""
NEVER_ENDS = f"{WRITES}import time; time.sleep(3600)"


def test_a_part_that_never_ends_is_ended_and_keeps_its_results(choice, own_parts):
    made = own_parts(search=NEVER_ENDS)
    record = run.run_part("search", made["search"], choice, 20)
    assert record["state"] == run.OUT_OF_TIME
    assert record["results"] == {"measurements": [MEASURED]}
    assert record["said"] == "written"


def test_a_signal_ends_the_part_that_runs(choice, own_parts, tmp_path):
    """SIGTERM would end this process alone, and leave the part running on the GPU."""
    started = tmp_path / "started"
    made = own_parts(search=f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(60)")

    def stop():
        while not started.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(InterruptedRunError):
        run.run_part("search", made["search"], choice, 120)
    thread.join()
    mark = str(started).encode()
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if mark in _content(path)]


def test_its_children_end_with_it(choice, own_parts, tmp_path):
    child = f"import time, pathlib; time.sleep(30); pathlib.Path({str(tmp_path / 'late')!r}).touch()"
    made = own_parts(search=f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])")
    assert run.run_part("search", made["search"], choice, 5)["state"] == run.OUT_OF_TIME
    mark = str(tmp_path / "late").encode()
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if mark in _content(path)]


def _content(path):
    try:
        return path.read_bytes()
    except OSError:  # the process has ended
        return b""


def test_each_part_leaves_a_file_and_a_page_and_a_failure_stops_nothing(choice, own_parts):
    made = own_parts(broken="import sys; sys.exit('it has no data')", search=WRITES)
    assert run.run_parts(made, choice, 600) == {"broken": run.FAILED, "search": run.FINISHED}
    page = (choice.folder / "gpu.md").read_text()
    assert "It failed. Its last line: `it has no data`" in page
    assert "| search | flat  |    0.5000 |            |           2.00 |" in page
    assert "Tiny sizes" in page
    assert json.loads((choice.folder / "search.json").read_text())["state"] == "finished"


def test_without_time_a_part_is_not_started(choice, own_parts):
    made = own_parts(search=WRITES)
    assert run.run_parts(made, choice, 0) == {"search": run.NOT_STARTED}
    assert not list((choice.folder / "results").glob("*.log"))


def test_results_of_an_earlier_run_are_not_taken_for_new_ones(choice, own_parts):
    made = own_parts(search=WRITES)
    run.run_parts(made, choice, 600)
    made = own_parts(search="import sys; sys.exit(1)")
    run.run_parts(made, choice, 600)
    assert json.loads((choice.folder / "search.json").read_text())["results"] == {}


def test_the_page_counts_tests_and_shows_runs(tmp_path):
    report = tmp_path / "tests.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="a" name="b"/><testcase classname="c" name="d"><failure/>'
        '</testcase><testcase classname="e" name="f"><skipped/></testcase></testsuite></testsuites>'
    )
    training = {"paper": "FIDI", "seconds": 12.0, "mAP": 50.0, "moved weights": "3 of 3"}
    for name, results in (("tests", run._counts(report)), ("runs", {"runs": [training]})):
        record = {"part": name, "title": PARTS[name].title, "state": "finished", "seconds": 1.0, "limit": 2.0}
        record |= {"said": "", "quick": False, "results": results}
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    page = write_page(tmp_path).read_text()
    assert "1 passed, 1 failed, 1 skipped." in page
    assert "- c.d" in page
    assert "3 of 3" in page
    assert "Tiny" not in page


def test_parts_are_chosen_by_name_and_their_cases_exist(choice):
    assert list(chosen_parts([])) == list(PARTS)
    assert list(chosen_parts(["search", "tests"])) == ["tests", "search"]
    with pytest.raises(ConfigError, match=r"--parts 'saerch' is not known, did you mean 'search'"):
        chosen_parts(["saerch"])
    for part in PARTS.values():
        words = part.words(choice, choice.folder / "x.json")
        cases = {words[i + 1] for i, word in enumerate(words) if word == "--case"}
        assert cases <= set(all_cases())
    assert sum(part.seconds for part in PARTS.values()) < 700, "the last ones get what the others leave"


def test_the_tests_marked_gpu_are_found(choice, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = PARTS["tests"].words(choice, choice.folder / "tests.json")
    assert "tests/devices/test_on_gpu.py" in words
    monkeypatch.chdir(choice.folder)
    assert (
        "no tests here" in words[2]
        or "no tests here" in PARTS["tests"].words(choice, choice.folder / "x.json")[2]
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_a_gpu_the_command_says_so():
    with pytest.raises(ConfigError, match=r"no CUDA device; --device cpu --quick"):
        gpu.run(gpu.argument_parser().parse_args([]))


def test_the_command_runs_on_a_cpu(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    words = ["--device", "cpu", "--quick", "--parts", "search", "--output", str(tmp_path)]
    gpu.run(gpu.argument_parser().parse_args(words))
    assert capsys.readouterr().out.strip() == str(tmp_path / "gpu.md")
    assert "products on cpu" in (tmp_path / "gpu.md").read_text()


def test_a_part_that_fails_is_an_error_in_the_end(tmp_path, own_parts):
    own_parts(broken="import sys; sys.exit('it has no data')")
    with pytest.raises(DataError, match=r"broken of the parts failed; .*broken\.log"):
        gpu.run(gpu.argument_parser().parse_args(["--device", "cpu", "--output", str(tmp_path)]))


def test_the_hosts_own_trainer_and_loader_stand_beside_ours(monkeypatch):
    monkeypatch.chdir(ROOT)
    names = [m.name for m in beside_host.trainers(True, "cpu")]
    assert names == ["this project's trainer", "FastReID's own trainer", "plain loop"]
    own, host = beside_host.loaders(True, "cpu")
    assert own.name.startswith("this project's, ")
    assert host.name.startswith("FastReID's own, ")
    assert host.ratio == 1.0


def test_a_failure_of_the_hosts_own_is_one_sentence(monkeypatch):
    with pytest.raises(DataError, match=r"FastReID's own nothing failed: KeyError"):
        beside_host._host_seconds({"work": "nothing", "device": "cpu", "repeats": 1})


def test_a_short_training_tells_scores_and_how_far_the_weights_moved(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("FASTREID_DATASETS", str(draw_few(tmp_path, 16, 2)))
    found = train("FIDI", "cpu", quick=True)
    assert "said" not in found, found
    assert 0 <= found["mAP"] <= 100
    moved, of = map(int, found["moved weights"].split(" of "))
    assert 0.9 * of < moved <= of
    assert 0 < found["moved by, of their length"] < 1


def test_movement_by_hand():
    before = {"a": torch.tensor([3.0, 4.0]), "b": torch.zeros(2), "count": torch.tensor(1)}
    after = {"a": torch.tensor([3.0, 5.0]), "b": torch.zeros(2), "count": torch.tensor(9)}
    assert movement(before, after) == {"moved weights": "1 of 2", "moved by, of their length": 0.2}


@pytest.mark.parametrize("paper", PAPERS)
def test_every_stage_of_a_short_run_is_short_and_keeps_its_first_weights(paper, tmp_path):
    config = find_config(f"{PAPERS[paper].demo}.yml")
    cfg = load_config(config, short_opts(config, str(tmp_path), "cpu", quick=True))
    for stage in build_stages(cfg):
        assert stage.cfg.SOLVER.MAX_EPOCH == 2
        assert stage.cfg.SOLVER.CHECKPOINT_PERIOD == 1
        assert stage.cfg.SOLVER.KEEP_CHECKPOINTS
