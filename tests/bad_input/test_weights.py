"""Weights files: read without running code; what cannot be read says why, and what to do."""

import argparse
import collections
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from fastreid.config import CfgNode


class Runs:
    """An object whose pickle writes a file when it is read."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def state(bench):
    return torch.load(bench.weights, weights_only=True)["model"]


def saved(content):
    return lambda bench: torch.save(content(state(bench)), bench.folder / "w.pth")


def written(content):
    return lambda bench: bench.write("w.pth", content)


def pickled(content):
    return lambda bench: bench.write("w.pth", pickle.dumps(content))


def truncated(bench):
    content = bench.weights.read_bytes()
    bench.write("w.pth", content[: len(content) // 2])


def not_there(bench):
    pass


def a_folder(bench):
    (bench.folder / "w.pth").mkdir()


def an_archive(bench):
    with zipfile.ZipFile(bench.folder / "w.pth", "w") as archive:
        archive.writestr("readme.txt", "nothing")


def a_script_module(bench):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(bench.folder / "w.pth"))


def prefixed(prefix):
    return lambda s: {f"{prefix}{name}": value for name, value in s.items()}


WORKS = {
    "a bare state dict": saved(lambda s: s),
    "an ordered dict": saved(lambda s: collections.OrderedDict(s)),
    "below state_dict": saved(lambda s: {"state_dict": s, "epoch": 3}),
    "of DistributedDataParallel": saved(lambda s: {"model": prefixed("module.")(s)}),
    "with numpy arrays": saved(lambda s: {"model": {k: v.numpy() for k, v in s.items()}}),
    "with numpy scalars": saved(lambda s: {"model": s, "metric": np.float64(0.5), "n": np.int64(3)}),
    "with a numpy 0-d array": saved(lambda s: {"model": s, "best": np.array(0.5)}),
    "with a Counter": saved(lambda s: {"model": s, "scheduler": {"milestones": collections.Counter([40])}}),
    "in the format before torch 1.6": lambda bench: torch.save(
        {"model": state(bench)}, bench.folder / "w.pth", _use_new_zipfile_serialization=False
    ),
    "with the arguments of its run": saved(
        lambda s: {"model": s, "args": argparse.Namespace(lr=0.1, names=["a"])}
    ),
    "with the config of its run": saved(lambda s: {"model": s, "cfg": CfgNode({"A": CfgNode({"B": 1})})}),
    "in half precision": saved(lambda s: {"model": {k: v.half() for k, v in s.items()}}),
}
REFUSED = {
    "not there": (not_there, "does not exist"),
    "a folder": (a_folder, "folder"),
    "empty": (written(b""), "0 bytes"),
    "truncated": (truncated, "truncated again"),
    "words": (written("these are not weights"), "was not written by torch.save"),
    "html": (written("<!DOCTYPE html>\n<html><body>Sign in</body></html>"), "web page"),
    "git-lfs": (written("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "git lfs pull"),
    "an archive": (an_archive, "was not written by torch.save"),
    "TorchScript": (a_script_module, "TorchScript"),
    "a pickle that runs code": (pickled({"model": Runs()}), "was not written by torch.save"),
    "weights that run code": (saved(lambda s: {"model": s, "x": Runs()}), "could run any code"),
    "a whole model": (saved(lambda s: torch.nn.Linear(2, 2)), "save .state_dict() whole model"),
    "a list": (saved(lambda s: list(s.values())), "not hold weights but list"),
    "a number": (saved(lambda s: 3), "not hold weights but int"),
    "a tensor": (saved(lambda s: torch.zeros(3)), "not hold weights but Tensor"),
    "nothing": (saved(lambda s: {}), "no weights"),
    "an optimizer alone": (saved(lambda s: {"optimizer": {"lr": 0.1}}), "optimizer"),
    "complex numbers": (
        saved(lambda s: {"model": {k: v.to(torch.complex64) for k, v in s.items()}}),
        "complex",
    ),
    "sparse tensors": (saved(lambda s: {"model": {k: v.to_sparse() for k, v in s.items()}}), "sparse"),
    "quantized tensors": (
        saved(lambda s: {"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}),
        "quantized",
    ),
    "tensors on no device": (saved(lambda s: {k: v.to("meta") for k, v in s.items()}), "meta"),
    "no tensors": (saved(lambda s: {"model": {"a": 1}}), "'a' is of type int"),
    "another model": (
        saved(lambda s: {"model": {"conv1.weight": torch.zeros(3)}}),
        "another model conv1.weight 0%",
    ),
    "other shapes": (
        saved(lambda s: {"model": {k: torch.zeros(5, 5, 5, 5, 5) for k in s}}),
        "another model (5, 5, 5, 5, 5)",
    ),
    "other names": (saved(lambda s: {"model": prefixed("trunk.")(s)}), "another model trunk."),
    "NaN": (
        saved(
            lambda s: {"model": {k: v * float("nan") if v.is_floating_point() else v for k, v in s.items()}}
        ),
        "NaN",
    ),
}


@pytest.mark.parametrize("kind", WORKS)
def test_what_holds_the_models_weights_loads(bench, worked, kind):
    WORKS[kind](bench)
    worked(bench.evaluate("MODEL.WEIGHTS", "w.pth"))


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_is_refused(bench, refused, kind):
    make, words = REFUSED[kind]
    make(bench)
    refused(bench.evaluate("MODEL.WEIGHTS", "w.pth"), "w.pth", *words.split())
    assert not (bench.folder / "executed").exists()


RESNET = (
    "MODEL.BACKBONE.NAME",
    "build_resnet_backbone",
    "MODEL.BACKBONE.DEPTH",
    "18x",
    "MODEL.BACKBONE.FEAT_DIM",
    "512",
)
RESNET += ("MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", "w.pth")


@pytest.mark.parametrize(
    "kind", ["not there", "a folder", "truncated", "html", "weights that run code", "another model"]
)
def test_pretrained_weights_that_cannot_be_used(bench, refused, kind):
    make, words = REFUSED[kind]
    make(bench)
    refused(bench.train(*RESNET), "w.pth", "MODEL.BACKBONE.PRETRAIN_PATH", *words.split()[:2])


def test_pretrained_weights_as_torchvision_saves_them(bench, worked):
    torchvision = pytest.importorskip("torchvision")
    torch.save(torchvision.models.resnet18(num_classes=10).state_dict(), bench.folder / "w.pth")
    worked(bench.train(*RESNET, "INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]"))


def test_a_url_is_no_weights_file(bench, refused):
    refused(
        bench.evaluate("MODEL.WEIGHTS", "https://example.org/w.pth"),
        "https://example.org/w.pth",
        "local file",
    )


def test_resume_without_the_file_that_last_checkpoint_names(bench, refused):
    bench.write("out/last_checkpoint", "model_0003.pth")
    refused(bench.train("--resume"), "model_0003.pth", "last_checkpoint")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a\x00b.pth"])
def test_resume_with_a_damaged_last_checkpoint(bench, refused, content):
    bench.write("out/last_checkpoint", content)
    refused(bench.train("--resume"), "out/last_checkpoint", "damaged", "--resume")


def test_resume_of_a_training_that_went_further(bench, refused, worked):
    worked(bench.train("SOLVER.MAX_EPOCH", "2"))
    record = (bench.output / "run.json").read_bytes()
    outcome = bench.train("--resume")
    assert (bench.output / "run.json").read_bytes() == record
    for name in ("run.json", "model_final.pth"):
        (bench.output / name).unlink()
    refused(outcome, "SOLVER.MAX_EPOCH is 1", "2 epochs", "raise")


def test_resume_of_a_broken_checkpoint(bench, refused):
    bench.write("out/last_checkpoint", "model_0003.pth")
    bench.write("out/model_0003.pth", bench.weights.read_bytes()[:100])
    refused(bench.train("--resume"), "model_0003.pth", "truncated")
