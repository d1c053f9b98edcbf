"""Checkpoints: read without running code, refused if another model's, written whole or not at all."""

import argparse
import errno
import logging
import os
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from fastreid_projects.checkpoints.matching import matched_share
from fastreid_projects.checkpoints.weights import load_state_dict_file
from fastreid_projects.errors import WeightsError
from fastreid_projects.host.utils.checkpoint import patch_checkpoint

pytest.importorskip("fastreid")
patch_checkpoint()

from fastreid.utils.checkpoint import Checkpointer  # noqa: E402


class Net(nn.Module):
    """A backbone of 5 x 2 counted weights and a classifier."""

    def __init__(self, classes=3, width=4, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.backbone = nn.Sequential(*[nn.Linear(width, width) for _ in range(5)])
        self.norm = nn.BatchNorm1d(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x):
        return self.classifier(self.norm(self.backbone(x)))


def train_step(net, optimizer):
    optimizer.zero_grad()
    net(torch.ones(3, 4)).pow(2).sum().backward()
    optimizer.step()


def make_checkpointer(folder, seed=0, **keywords):
    net = Net(seed=seed, **keywords)
    optimizer = torch.optim.Adam(net.parameters())
    return Checkpointer(net, str(folder), optimizer=optimizer)


def saved(folder, **kwargs):
    checkpointer = make_checkpointer(folder)
    train_step(checkpointer.model, checkpointer.checkpointables["optimizer"])
    checkpointer.save("model_0001", **kwargs)
    return checkpointer, str(folder / "model_0001.pth")


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one) and one.keys() == other.keys()


def test_saves_and_resumes_with_everything(tmp_path):
    first, _ = saved(tmp_path, epoch=1, metric=np.float64(0.5), curve=np.arange(3.0))
    second = make_checkpointer(tmp_path, seed=1)
    rest = second.resume_or_load("", resume=True)
    assert equal(first.model.state_dict(), second.model.state_dict())
    assert second.checkpointables["optimizer"].state_dict()["state"][0]["step"] == 1
    assert (rest["epoch"], rest["metric"], rest["curve"].tolist()) == (1, 0.5, [0, 1, 2])
    assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "model_0001.pth"]


def test_loading_weights_alone_leaves_the_rest_as_in_the_host(tmp_path):
    _, path = saved(tmp_path, epoch=1)
    second = make_checkpointer(tmp_path / "other", seed=1)
    rest = second.resume_or_load(path, resume=False)
    assert rest["epoch"] == 1
    assert "optimizer" in rest
    assert not second.checkpointables["optimizer"].state
    assert second.load("") == {}


@pytest.mark.parametrize("wrap", [dict, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
@pytest.mark.parametrize("parallel", [False, True])
def test_accepts_bare_wrapped_parallel_and_numpy_weights(tmp_path, wrap, parallel):
    state = Net().state_dict()
    prefix = "module." if parallel else ""
    content = {prefix + name: value.numpy() if "weight" in name else value for name, value in state.items()}
    path = str(tmp_path / "weights.pth")
    torch.save(wrap(content), path)
    assert equal(load_state_dict_file(path), state)
    net = Net(seed=1)
    Checkpointer(net).load(path)
    assert equal(net.state_dict(), state)


def test_another_number_of_classes_is_skipped_with_a_warning(tmp_path, caplog):
    _, path = saved(tmp_path)
    other = make_checkpointer(tmp_path, seed=1, classes=7)
    other.logger = logging.getLogger("checkpoint-test")
    with caplog.at_level(logging.INFO):
        other.load(path, checkpointables=[])
    assert "classifier.weight" in caplog.text
    assert "matched                   15" in caplog.text
    assert "of another shape           2" in caplog.text


@pytest.mark.parametrize("content, words", [(b"", "0 bytes"), (b"<html>404</html>", "web page")])
def test_broken_files_are_named(tmp_path, content, words):
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"broken\.pth.*{words}"):
        make_checkpointer(tmp_path).load(str(path))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_files_are_named(tmp_path, share):
    _, path = saved(tmp_path)
    content = (tmp_path / "model_0001.pth").read_bytes()
    (tmp_path / "model_0001.pth").write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match="truncated"):
        make_checkpointer(tmp_path).load(path)


@pytest.mark.parametrize("path", ["nowhere/model.pth", "https://example.com/model.pth"])
def test_missing_files_are_named(path, tmp_path):
    with pytest.raises(WeightsError, match=r"does not exist: .*MODEL\.WEIGHTS"):
        make_checkpointer(tmp_path).load(path)
    with pytest.raises(WeightsError, match="does not exist"):
        load_state_dict_file(path)
    with pytest.raises(WeightsError, match="is a folder"):
        load_state_dict_file(str(tmp_path))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize("value", [Evil(), argparse.Namespace(a=Evil())])
@pytest.mark.parametrize("legacy", [False, True])
def test_no_code_is_run(tmp_path, monkeypatch, value, legacy):
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / "evil.pth")
    torch.save({"model": Net().state_dict(), "args": value}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match="could run any code") as info:
        make_checkpointer(tmp_path).load(path)
    assert not os.path.exists("evil")
    assert "\n" not in str(info.value)
    with open(path, "wb") as file:
        pickle.dump({"model": value}, file)
    with pytest.raises(WeightsError):
        load_state_dict_file(path)
    assert not os.path.exists("evil")


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, {"model": {"a": "text"}}, 5])
def test_files_without_weights_are_named(tmp_path, content):
    path = str(tmp_path / "other.pth")
    torch.save(content, path)
    with pytest.raises(WeightsError, match="does not hold weights"):
        make_checkpointer(tmp_path).load(path)


def test_weights_of_another_model_are_refused_and_change_nothing(tmp_path):
    path = str(tmp_path / "foreign.pth")
    torch.save({"model": nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)).state_dict()}, path)
    checkpointer = make_checkpointer(tmp_path)
    before = {name: value.clone() for name, value in checkpointer.model.state_dict().items()}
    with pytest.raises(WeightsError, match=r"fits 0% .*'backbone\.0\.weight', the file has '0\.weight'"):
        checkpointer.load(path)
    assert equal(before, checkpointer.model.state_dict())
    torch.save({"model": Net(width=5).state_dict()}, path)
    with pytest.raises(WeightsError, match=r"is \(4, 4\) in the model but \(5, 5\) in the file"):
        checkpointer.load(path)


def test_matched_share_counts_the_backbone_without_batch_counters():
    state = Net().state_dict()
    part = {name: value for name, value in state.items() if name != "backbone.4.bias"}
    assert matched_share(state, part, "backbone.") == pytest.approx(0.9)
    assert matched_share(state, part) == pytest.approx(15 / 16)
    assert matched_share(state, {}, "encoder.") == 0.0
    counters = {name: value for name, value in state.items() if "num_batches" not in name}
    assert matched_share(state, counters, "encoder.") == 1.0


def test_training_state_of_another_run_is_refused(tmp_path):
    first, path = saved(tmp_path)
    groups = torch.optim.Adam([{"params": [parameter]} for parameter in Net().parameters()])
    with pytest.raises(WeightsError, match=r"'optimizer'.*parameter groups.*--resume"):
        Checkpointer(Net(), optimizer=groups).load(path)
    with pytest.raises(WeightsError, match=r"'optimizer'.*is \(3, 4\) for a parameter of \(7, 4\)"):
        make_checkpointer(tmp_path, classes=7).load(path)
    torch.save({"model": first.model.state_dict(), "optimizer": {"other": 1}}, path)
    with pytest.raises(WeightsError, match="'optimizer'"):
        make_checkpointer(tmp_path).load(path)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("unexpected pos")]
)
def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, monkeypatch, error):
    checkpointer, path = saved(tmp_path, epoch=1)
    before = torch.load(path)["epoch"]

    def fill(data, file):
        file.write(b"half")
        raise error

    monkeypatch.setattr(torch, "save", fill)
    for name in ("model_0001", "model_0002"):
        with pytest.raises(WeightsError, match=rf"{name}\.pth' could not be written.*OUTPUT_DIR"):
            checkpointer.save(name, epoch=2)
    assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "model_0001.pth"]
    assert torch.load(path)["epoch"] == before
    assert make_checkpointer(tmp_path).resume_or_load("", resume=True)["epoch"] == 1


def test_an_interrupt_while_saving_leaves_no_half_file(tmp_path, monkeypatch):
    checkpointer, _ = saved(tmp_path)

    def interrupt(data, file):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save("model_0002")
    assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "model_0001.pth"]
