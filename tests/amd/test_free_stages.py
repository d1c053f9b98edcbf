"""What the interpreter's free stages start from, and what the log says of it."""

import logging

import pytest
import torch

from fastreid_projects.amd.build import save_target_config
from fastreid_projects.config import load_config
from fastreid_projects.errors import WeightsError


@pytest.fixture
def log(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    caplog.set_level(logging.INFO)

    def read():
        (line,) = {r.getMessage() for r in caplog.records if "free stages start" in r.getMessage()}
        return line

    return read


@pytest.fixture
def imagenet(target_files):
    """Names and tensors of a backbone that is not the target's."""
    state = torch.load(target_files[1], weights_only=True)["model"]
    return {k.removeprefix("backbone."): v + 1 for k, v in state.items() if k.startswith("backbone.")}


@pytest.fixture(autouse=True)
def no_network(tmp_path, monkeypatch):
    def fail(url, *rest, **options):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)


def target_with(target_files, folder, path):
    """The target's config as one that starts from pretrained weights."""
    opts = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(path)]
    file = folder / "pretrained.yaml"
    file.write_text(load_config(target_files[0], opts).dump())
    return "MODEL.AMD.TARGET.CONFIG", str(file)


def assert_starts_from(model, weights):
    """Only the free stages get ImageNet weights."""
    assert torch.equal(model.free_stages[0][0].conv1.weight, weights["layer3.0.conv1.weight"])
    target = model.target.model.backbone
    assert not torch.equal(target.layer3[0].conv1.weight, weights["layer3.0.conv1.weight"])
    assert all(parameter.requires_grad for parameter in model.free_stages.parameters())


def assert_starts_from_the_target(model):
    target = model.target.model.backbone
    assert torch.equal(model.free_stages[0][0].conv1.weight, target.layer3[0].conv1.weight)


def test_by_their_own_key(build_amd, target_files, imagenet, tmp_path, log):
    """It takes precedence over the target's config."""
    torch.save(imagenet, tmp_path / "imagenet.pth")
    target = target_with(target_files, tmp_path, "gone.pth")
    assert_starts_from(
        build_amd(*target, "MODEL.AMD.PRETRAIN_PATH", str(tmp_path / "imagenet.pth")), imagenet
    )
    assert "imagenet.pth (MODEL.AMD.PRETRAIN_PATH)" in log()


def test_by_the_path_of_the_targets_config(build_amd, target_files, imagenet, tmp_path, log):
    torch.save(imagenet, tmp_path / "imagenet.pth")
    assert_starts_from(build_amd(*target_with(target_files, tmp_path, tmp_path / "imagenet.pth")), imagenet)
    assert "imagenet.pth (MODEL.BACKBONE.PRETRAIN of the target's config)" in log()


def test_by_the_hosts_cache(build_amd, target_files, imagenet, tmp_path, log):
    cache = tmp_path / "cache" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(imagenet, cache / "resnet18-5c106cde.pth")
    assert_starts_from(build_amd(*target_with(target_files, tmp_path, "")), imagenet)
    assert "from ImageNet weights of build_resnet_backbone 18x" in log()


def test_a_target_that_starts_from_noise(build_amd, log):
    assert_starts_from_the_target(build_amd())
    assert "MODEL.BACKBONE.PRETRAIN to False" in log()


@pytest.mark.parametrize("path, words", [("", "could not be downloaded"), ("gone.pth", "gone.pth")])
def test_without_a_file_they_start_from_the_target(build_amd, target_files, tmp_path, log, path, words):
    assert_starts_from_the_target(build_amd(*target_with(target_files, tmp_path, path)))
    assert "not from pretrained weights" in log()
    assert words in log()
    assert "MODEL.AMD.PRETRAIN_PATH" in log()


def test_weights_of_another_backbone_are_told_by_the_key_that_names_them(build_amd, target_files, tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match=r"MODEL\.AMD\.PRETRAIN_PATH") as caught:
        build_amd("MODEL.AMD.PRETRAIN_PATH", str(path))
    assert "MODEL.BACKBONE" not in str(caught.value)
    with pytest.raises(WeightsError, match=r"the target's config .*pretrained\.yaml.*other\.pth"):
        build_amd(*target_with(target_files, tmp_path, path))


def test_the_copy_of_the_targets_config_keeps_what_it_started_from(amd_config, target_files, tmp_path):
    target = target_with(target_files, tmp_path, "imagenet.pth")
    save_target_config(amd_config(*target, "OUTPUT_DIR", str(tmp_path / "run")))
    backbone = load_config(str(tmp_path / "run" / "target.yaml")).MODEL.BACKBONE
    assert (backbone.PRETRAIN, backbone.PRETRAIN_PATH) == (True, "imagenet.pth")
