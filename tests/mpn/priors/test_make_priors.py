"""The folder of masks: made, resumed, summed up, shown; and the providers behind it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid_projects.commands.table import run_tool
from fastreid_projects.data.demo.figure import PART
from fastreid_projects.data.demo.masks import DemoMasks
from fastreid_projects.data.demo.masks import mask_path as drawn_path
from fastreid_projects.errors import ConfigError, DataError, WeightsError
from fastreid_projects.mpn.data.part_masks import ARM, HEAD, LEG, OTHER, TORSO, mask_path, read_mask
from fastreid_projects.mpn.priors import make_priors as priors
from fastreid_projects.mpn.providers import Found, build_provider
from fastreid_projects.mpn.providers.blazepose import Square, detector_anchors
from fastreid_projects.mpn.providers.skeleton import paint_parts
from tests.shortened import draw_few

ROOT = Path(__file__).resolve().parents[3]
H, W = 64, 32
BODY = {
    "hat": (2, 6),
    "head": (6, 12),
    "torso": (12, 30),
    "backpack": (30, 34),
    "lower": (34, 50),
    "shoes": (50, 60),
}


def draw(folder, number, without=()):
    """An image of the drawn kind with its own mask, from bands of parts."""
    path = folder / "train" / f"{number:04d}_c1s1_000001_00.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn_path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (W, H), (90, 40, number)).save(path)
    mask = np.zeros((H, W), np.uint8)
    for name, (top, bottom) in BODY.items():
        if name not in without:
            mask[top:bottom, 8:24] = PART[name]
    DemoMasks(mask, (0,) * 26).save(drawn_path(path))
    return str(path)


@pytest.fixture
def images(tmp_path):
    """Forty whole people, one without a head, two without legs, one empty."""
    found = [draw(tmp_path, i) for i in range(40)]
    found.append(draw(tmp_path, 40, ("hat", "head")))
    found += [draw(tmp_path, i, ("lower", "shoes")) for i in (41, 42)]
    found.append(draw(tmp_path, 43, tuple(BODY)))
    return found


def test_makes_resumes_and_sums_up(images):
    summary = priors.make_priors(images, "drawn", {}, workers=1)
    assert summary == (44, 1, 1, 2, 44)
    assert summary.even == 4
    assert (
        "4 images (9.1 %) are divided evenly: 1 without a person, 1 without a head, 2 without a leg"
        in str(summary)
    )
    mask = read_mask(mask_path(images[0]))
    assert [mask[row, 10] for row in (3, 8, 20, 31, 40, 55)] == [HEAD, HEAD, TORSO, OTHER, LEG, LEG]
    assert not mask[:, :8].any()
    mask_path(images[7]).unlink()
    mask_path(images[8]).write_bytes(mask_path(images[8]).read_bytes()[:20])  # a killed process wrote half
    kept = mask_path(images[0]).stat().st_mtime_ns
    again = priors.make_priors(images, "drawn", {}, workers=1)
    assert again == (44, 1, 1, 2, 2)
    assert mask_path(images[0]).stat().st_mtime_ns == kept
    assert priors.make_priors(images, "drawn", {}, workers=1, overwrite=True).made == 44


@pytest.mark.slow
def test_several_processes_make_the_same(images):
    assert priors.make_priors(images, "drawn", {}, workers=2) == (44, 1, 1, 2, 44)
    alone = [read_mask(mask_path(path)) for path in images]
    priors.make_priors(images, "drawn", {}, workers=1, overwrite=True)
    assert all(np.array_equal(a, read_mask(mask_path(p))) for a, p in zip(alone, images, strict=True))


def test_contact_sheet(images, tmp_path):
    priors.make_priors(images, "drawn", {}, workers=1)
    sheet = np.array(
        Image.open(priors.contact_sheet(images, "part_masks", tmp_path / "s" / "sheet.png", count=7))
    )
    assert sheet.shape == (2 * 200, 6 * (3 * 96 + 8), 3)
    rows = sheet[4:196, 4 + 2 * 96 + 2]  # a column of the first image's third panel
    assert ((rows == (80, 255, 80)).all(1)).sum() == 7, "lines between six parts"


@pytest.mark.slow
def test_the_command_knows_the_datasets_of_this_project(tmp_path):
    """In a process that has imported nothing else."""
    draw_few(tmp_path / "datasets", train_ids=2, test_ids=2)
    words = ["make-part-priors", "drawn", "--dataset", "DemoReID", "--splits", "query", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "fastreid_projects", *words],
        env={**os.environ, "FASTREID_DATASETS": str(tmp_path / "datasets")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "are divided evenly" in done.stdout


def test_the_drawn_peoples_own_masks_serve_as_they_are(images):
    """No mask has to be made for the drawn data: MODEL.MPN.PRIOR.FOLDER masks."""
    priors.make_priors(images, "drawn", {}, workers=1)
    for path in images:
        assert np.array_equal(read_mask(mask_path(path, "masks")), read_mask(mask_path(path)))


def test_what_is_done_before_a_broken_image_stays(images):
    Path(images[30]).write_bytes(b"no image")
    with pytest.raises(DataError, match="0030_c1s1"):
        priors.make_priors(images, "drawn", {}, workers=1)
    assert mask_path(images[0]).is_file()


def test_sources(images, tmp_path, tiny_market):
    assert priors.folder_images(Path(images[0]).parent) == images
    with pytest.raises(DataError, match="does not hold an image"):
        priors.folder_images(tmp_path)
    folder = tiny_market()
    found = priors.dataset_images("Market1501", ["query", "train"])
    assert len(found) == len(list(folder.glob("query/*.jpg"))) + len(
        list(folder.glob("bounding_box_train/*.jpg"))
    )
    with pytest.raises(ConfigError, match="val"):
        priors.dataset_images("Market1501", ["val"])


def test_union():
    parts, person = np.zeros((2, 3), np.uint8), np.zeros((2, 3), bool)
    parts[0, 0], person[0, :2], parts[1, 2] = HEAD, True, LEG
    assert Found(parts, person).union().tolist() == [[HEAD, OTHER, 0], [0, 0, LEG]]


# Skeletons


def standing():
    """Return COCO's joints of an upright person in 128 x 64."""
    points = np.zeros((17, 2))
    points[:5] = (32, 14), (34, 12), (30, 12), (36, 13), (28, 13)
    points[5:11] = (40, 28), (24, 28), (44, 44), (20, 44), (45, 58), (19, 58)
    points[11:] = (37, 64), (27, 64), (37, 90), (27, 90), (37, 116), (27, 116)
    return points


def test_parts_of_a_skeleton():
    parts = paint_parts(standing(), np.ones(17, bool), (128, 64))
    for (x, y), part in {
        (32, 13): HEAD,
        (32, 45): TORSO,
        (44, 45): ARM,
        (37, 80): LEG,
        (27, 110): LEG,
    }.items():
        assert parts[y, x] == part
    assert not parts[:, :8].any()
    assert 0.15 < (parts > 0).mean() < 0.4


def test_joints_that_are_not_seen_or_outside_give_no_part():
    seen = np.ones(17, bool)
    assert HEAD not in paint_parts(standing() - (0, 25), seen, (128, 64)), "the head is above the image"
    assert LEG not in paint_parts(standing(), seen & (np.arange(17) < 13), (128, 64))
    assert HEAD not in paint_parts(standing(), seen & (np.arange(17) > 3), (128, 64)), "one ear is not a head"
    assert not paint_parts(standing(), ~seen, (128, 64)).any()


# BlazePose's geometry


def test_square():
    """A square of the image, turned; its corners are the crop's."""
    square = Square(30, 40, 20, np.pi / 2)
    matrix = square.matrix(100)
    assert np.allclose(matrix @ (30, 40, 1), (50, 50))
    assert np.allclose(matrix @ (30, 30, 1), (0, 50)), "up in the image is left in the crop"
    upright = Square(32, 64, 128, 0.0).matrix(256)
    assert np.allclose(upright @ (0, 0, 1), (64, 0))


def test_anchors():
    anchors = detector_anchors()
    assert anchors.shape == (2254, 2)
    assert np.allclose(anchors[:4], [[0.5 / 28, 0.5 / 28]] * 2 + [[1.5 / 28, 0.5 / 28]] * 2)
    assert np.allclose(anchors[-1], [6.5 / 7, 6.5 / 7])


@pytest.mark.parametrize(
    "options, error", [({}, ConfigError), ({"model": "no.tflite"}, (ConfigError, WeightsError))]
)
def test_blazepose_mistakes(options, error):
    with pytest.raises(error, match=r"--model|no\.tflite|ai-edge-litert"):
        build_provider("blazepose", options)


# torchvision


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory):
    """Both of torchvision's models with random weights."""
    from torchvision.models import detection, segmentation

    folder = tmp_path_factory.mktemp("weights")
    models = {
        "segmentation_weights": segmentation.deeplabv3_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=21, aux_loss=True
        ),
        "keypoint_weights": detection.keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None),
    }
    for name, model in models.items():
        torch.save(model.state_dict(), folder / f"{name}.pth")
    return {name: str(folder / f"{name}.pth") for name in models}


def test_torchvision(random_weights, monkeypatch):
    """The models load and run; what they would find in a picture is put in their mouths."""
    provider = build_provider("torchvision", random_weights)
    provider.keypoints.transform.min_size = (96,)  # random weights find nothing at any size
    image = np.full((H * 2, W * 2, 3), 128, np.uint8)
    found = provider.find(image, "x.jpg")
    assert found.parts.shape == found.person.shape == (128, 64)
    large = torch.from_numpy(standing()).float() * 384 / 128
    keypoints = torch.cat([large, torch.ones(17, 1)], 1)[None]
    answer = {
        "scores": torch.tensor([0.9]),
        "keypoints": keypoints,
        "keypoints_scores": torch.full((1, 17), 5.0),
    }
    monkeypatch.setattr(provider, "keypoints", lambda images: [answer])
    logits = torch.zeros(1, 21, 384, 192)
    logits[:, 15, :, 96:] = 9
    monkeypatch.setattr(provider, "segmentation", lambda images: {"out": logits})
    found = provider.find(image, "x.jpg")
    assert np.array_equal(found.parts, paint_parts(standing(), np.ones(17, bool), (128, 64)))
    assert found.person[:, 33:].all()
    assert not found.person[:, :31].any()
    answer["scores"] = torch.tensor([0.2])
    assert not provider.find(image, "x.jpg").parts.any()


def test_torchvision_never_downloads_unasked(random_weights, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    fetched = []
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda url, path: fetched.append((url, path)))
    with pytest.raises(WeightsError, match="--segmentation-weights"):
        build_provider("torchvision", {})
    assert not fetched
    with pytest.raises(WeightsError):
        build_provider("torchvision", {"download": True})
    assert len(fetched) == 1
    assert fetched[0][0] in capsys.readouterr().err, "it says so"
    swapped = {"segmentation_weights": random_weights["keypoint_weights"]}
    with pytest.raises(WeightsError, match="do not belong"):
        build_provider("torchvision", swapped)


# The command


def test_the_command(images, tmp_path, monkeypatch, capsys):
    folder = str(Path(images[0]).parent)
    given = ["drawn", "--images", folder, "--workers", "1", "--contact-sheet", str(tmp_path / "s.png")]
    monkeypatch.setattr(sys, "argv", ["make_part_priors.py", *given])
    assert run_tool("make-part-priors") == 0
    printed = capsys.readouterr()
    assert "44 masks (44 new): 4 images" in printed.out
    assert printed.err == "", "a progress bar is for terminals"
    assert (tmp_path / "s.png").is_file()
    monkeypatch.setattr(sys, "argv", ["make_part_priors.py", "drawn", "--images", str(tmp_path / "nowhere")])
    assert run_tool("make-part-priors") == 2
    assert capsys.readouterr().err.startswith("error: the folder")


def test_the_drawn_peoples_own_masks_are_never_replaced(images):
    truth = drawn_path(images[0])
    before = truth.read_bytes()
    with pytest.raises(ConfigError, match=r"--folder 'masks' holds the masks of the synthetic demo set"):
        priors.make_priors(images, "drawn", {}, folder="masks", workers=1, overwrite=True)
    assert truth.read_bytes() == before
