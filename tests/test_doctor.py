"""The doctor: right about a sound installation, and a sentence for each thing that is broken."""

import subprocess
import sys

import numpy as np
import pytest

from fastreid_projects import doctor
from fastreid_projects.doctor import Finding


def test_a_sound_installation_has_nothing_to_mend(tiny_market, monkeypatch):
    tiny_market(ids=3)
    findings = {finding.what: finding for finding in doctor.examine()}
    assert not any(finding.advice for finding in findings.values())
    assert "12 training images of 3 identities" in findings["- Market1501"].found
    assert "weights moved" in findings["training"].found
    assert {"Python", "torch", "torchvision", "CUDA", "faiss", "FastReID"} <= set(findings)


def test_a_dataset_that_is_incomplete(tiny_market):
    for image in (tiny_market() / "query").iterdir():
        image.unlink()
    finding = {finding.what: finding for finding in doctor._datasets()}["- Market1501"]
    assert "Market-1501-v15.09.15" in finding.advice


def test_a_dataset_of_one_camera(tiny_market):
    for image in (tiny_market() / "bounding_box_test").glob("*_c2*"):
        image.unlink()
    finding = {finding.what: finding for finding in doctor._datasets()}["- Market1501"]
    assert "camera" in finding.found
    assert finding.advice


def test_a_folder_of_datasets_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "none"))
    (finding,) = doctor._datasets()
    assert "FASTREID_DATASETS" in finding.advice


def test_the_exit_code_counts_what_is_to_be_fixed(monkeypatch, capsys):
    findings = [Finding("a", "1"), Finding("b", "broken", "Fix b."), Finding("c", "broken", "Fix c.")]
    monkeypatch.setattr(doctor, "examine", lambda: iter(findings))
    assert doctor.main([]) == 2
    assert capsys.readouterr().out.splitlines()[-2:] == ["1. Fix b.", "2. Fix c."]


def test_help_and_what_is_misspelt_examine_nothing(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda: pytest.fail("it looked"))
    for word, code in (("--help", 0), ("--hepl", 2)):
        with pytest.raises(SystemExit) as ended:
            doctor.main([word])
        assert ended.value.code == code
    printed = capsys.readouterr()
    assert "exit code" in printed.out
    assert "--hepl" in printed.err


@pytest.mark.parametrize("folder", ["veri", "VeRi"])
def test_vehicle_folders_by_either_spelling(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    for part, camera in (("train", 1), ("query", 1), ("test", 2)):
        (tmp_path / folder / f"image_{part}").mkdir(parents=True)
        (tmp_path / folder / f"image_{part}" / f"0005_c00{camera}_00001_0.jpg").touch()
    findings = {finding.what: finding for finding in doctor._datasets()}
    assert findings["- VeRi"].found.startswith("1 training images of 1 identities, 1 queries")
    assert "1 in " in findings["datasets"].found


def test_cifar_is_counted_by_classes(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR100

    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    (tmp_path / "cifar-100-python").mkdir()

    def read(self, root, train, download):
        self.data = np.zeros((6 if train else 4, 32, 32, 3), np.uint8)
        self.targets = [0, 1] * (len(self.data) // 2)

    monkeypatch.setattr(CIFAR100, "__init__", read)
    finding = {finding.what: finding for finding in doctor._datasets()}["- CIFAR100"]
    assert finding == Finding("- CIFAR100", "6 training images of 2 classes, 4 test images")


def test_weights_that_do_not_move_are_told(monkeypatch):
    from fastreid.engine.train_loop import SimpleTrainer

    monkeypatch.setattr(SimpleTrainer, "run_step", lambda self: None)
    finding = doctor._training()
    assert "only 0 of" in finding.found
    assert finding.advice


def test_without_the_host_it_says_how_to_get_it(tmp_path):
    """In a process where fastreid cannot be found."""
    hide = tmp_path / "hide.py"
    hide.write_text(
        "import importlib.util, runpy, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'fastreid' else find(name, *a)\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'fastreid':\n"
        "            raise ModuleNotFoundError(\"No module named 'fastreid'\", name='fastreid')\n"
        "sys.meta_path.insert(0, Hide())\n"
        "runpy.run_module('fastreid_projects.doctor', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, str(hide)], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "to fix  FastReID" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1. ")


@pytest.mark.parametrize("folder", doctor.FOLDERS)
def test_datasets_are_registered(folder):
    from fastreid.data.datasets import DATASET_REGISTRY

    assert doctor.FOLDERS[folder] in DATASET_REGISTRY._obj_map


def test_every_dataset_of_the_host_is_found_and_counted(tmp_path, monkeypatch):
    from tests.layouts import LAYOUTS

    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    for layout in dict.fromkeys(LAYOUTS.values()):
        layout(tmp_path)
    findings = {finding.what.removeprefix("- "): finding for finding in doctor._datasets()}
    assert not [finding for finding in findings.values() if finding.advice]
    sizes = ("Small", "Medium", "Large")  # other tests of the same folder
    assert {name for name in LAYOUTS if not name.startswith(sizes)} <= set(findings)
    assert findings["VIPeR"].found == "16 training images of 4 identities"
    assert findings["CUHK03"].found == "16 training images of 4 identities, 8 queries, 8 gallery images"


def test_a_mat_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    from tests.layouts import cuhk03

    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    cuhk03(tmp_path)
    (tmp_path / "cuhk03" / "cuhk03_release" / "cuhk-03.mat").write_text("<html>")
    finding = {finding.what: finding for finding in doctor._datasets()}["- CUHK03"]
    assert "cuhk-03.mat" in finding.advice
    assert "publishers" in finding.advice


def test_own_pictures_for_tests_or_training_alone(tmp_path, monkeypatch):
    from tests.layouts import named

    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    for part in ("query", "gallery"):
        named(tmp_path / "FolderReID" / part, "{pid}/c{cam}_{n}.jpg")
    finding = {finding.what: finding for finding in doctor._datasets()}["- FolderReID"]
    assert finding.found == "0 training images of 0 identities, 16 queries, 16 gallery images"
    for part in ("query", "gallery"):
        (tmp_path / "FolderReID" / part).rename(tmp_path / part)
    (tmp_path / "FolderReID" / "train").mkdir()
    (tmp_path / "gallery").rename(tmp_path / "FolderReID" / "train" / "gallery")
    finding = {finding.what: finding for finding in doctor._datasets()}["- FolderReID"]
    assert finding.found == "16 training images of 1 identities"
