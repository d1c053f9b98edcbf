"""Masks beside the images, shifted copies, and what happens without them."""

import numpy as np
import pytest
import torch
from fastreid.data.transforms import build_transforms
from PIL import Image

from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.mpn.data.part_dataset import PartMaskDataset, Translation, shifted, unusable_mask
from fastreid_projects.mpn.data.part_masks import HEAD, LEG, mask_path, read_mask, write_mask

W, H = 16, 32


@pytest.fixture
def items(tmp_path):
    """Six images with masks: head above, legs below."""
    found = []
    for i in range(6):
        path = tmp_path / "train" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((H, W, 3), 20 * i + 50, np.uint8)).save(path)
        mask = np.zeros((H, W), np.uint8)
        mask[2:10, 4:12], mask[20:30, 4:12] = HEAD, LEG
        write_mask(mask_path(path), mask)
        found.append((str(path), f"p_{i // 2}", f"c_{i % 2}"))
    return found


@pytest.fixture
def transforms():
    from fastreid.config import get_cfg

    cfg = get_cfg()
    cfg.merge_from_list(["INPUT.SIZE_TRAIN", [H, W], "INPUT.FLIP.ENABLED", False])
    return build_transforms(cfg)


def test_paths_and_files(tmp_path):
    assert mask_path("d/query/x.y.jpg").as_posix() == "d/part_masks/query/x.y.png"
    assert mask_path("d/query/x.jpg", "other/masks").as_posix() == "d/other/masks/query/x.png"
    assert mask_path("d/query/x.jpg", str(tmp_path)) == tmp_path / "query" / "x.png"
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert np.array_equal(read_mask(write_mask(tmp_path / "a" / "m.png", mask)), mask)


def test_a_batch_has_both_masks(items, transforms):
    item = PartMaskDataset(items, transforms, folder="part_masks")[3]
    assert (item["targets"], item["camids"], item["img_paths"]) == (1, 1, items[3][0])
    assert item["images"].shape == (3, H, W)
    assert torch.equal(item["part_masks"], item["whole_part_masks"])
    assert item["part_masks"][5, 8] == HEAD
    assert item["part_masks"].dtype == torch.uint8


def test_without_a_folder_it_is_the_hosts_dataset(items, transforms):
    item = PartMaskDataset(items, transforms)[0]
    assert set(item) == {"images", "targets", "camids", "img_paths"}


BAD = {
    "missing": lambda path: path.unlink(),
    "unreadable": lambda path: path.write_bytes(b"no png"),
    "empty": lambda path: write_mask(path, np.zeros((H, W), np.uint8)),
    "of another size": lambda path: write_mask(path, np.ones((H + 1, W), np.uint8)),
}


@pytest.mark.parametrize("reason", BAD)
def test_an_unusable_mask_is_counted_or_refused(items, transforms, host_log, reason):
    path = mask_path(items[1][0])
    BAD[reason](path)
    assert unusable_mask(items[1][0], "part_masks") == reason
    dataset = PartMaskDataset(items, transforms, folder="part_masks")
    assert f"1 of 6 images have no usable mask of body parts (1 {reason}" in host_log.text
    assert str(path) in host_log.text
    assert not dataset[1]["part_masks"].any()
    assert dataset[2]["part_masks"].any()
    with pytest.raises(DataError, match="STRICT"):
        PartMaskDataset(items, transforms, folder="part_masks", strict=True)


def test_values_that_nobody_knows_and_colour_pictures(items, tmp_path):
    path = mask_path(items[0][0])
    Image.fromarray(np.full((H, W), 77, np.uint8)).save(path)
    with pytest.raises(DataError, match="77"):
        read_mask(path)
    Image.new("RGB", (W, H)).save(path)
    with pytest.raises(DataError, match="one channel"):
        read_mask(path)


def test_an_image_that_lies_on_its_side(items, transforms):
    """EXIF turns the image; the mask has the size of the upright one."""
    path = items[0][0]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (H, W)).save(path, exif=exif)
    assert unusable_mask(path, "part_masks") == ""
    assert PartMaskDataset(items, transforms, folder="part_masks")[0]["part_masks"].any()


def test_shift_moves_image_and_mask_alike():
    rows, columns = np.mgrid[:H, :W]
    image = Image.fromarray((rows * 4 + columns).astype(np.uint8))
    moved = np.asarray(shifted(image, 3, -2))
    original = np.asarray(image)
    assert np.array_equal(moved[: H - 2, 3:], original[2:, : W - 3])
    assert not moved[H - 2 :].any()
    assert not moved[:, :3].any()
    assert np.array_equal(np.asarray(shifted(image, 0, 0)), original)


def test_offline_translation(items, transforms):
    """Five times the images; the first of five unmoved, the others each with a shift that stays."""
    for path, *_ in items:
        Image.fromarray(np.full((H, W, 3), 255, np.uint8)).save(path, quality=100)
    dataset = PartMaskDataset(
        items, transforms, folder="part_masks", translation=Translation("offline", 5, 0.2)
    )
    assert len(dataset) == 30
    assert [dataset[i]["img_paths"] for i in (0, 4, 5)] == [items[0][0], items[0][0], items[1][0]]
    assert dataset.num_classes == 3
    plain = PartMaskDataset(items, transforms, folder="part_masks")
    different = 0
    for i in range(30):
        first, again = dataset[i], dataset[i]
        assert torch.equal(first["images"], again["images"])
        same = torch.equal(first["part_masks"], plain[i // 5]["part_masks"])
        assert same or i % 5
        different += not same
        white = first["images"][0] > 128
        assert not (first["part_masks"][~white] > 0).any(), "the mask went with the image"
    assert different > 12
    shifts = {dataset.translation.shift(i, (100, 200)) for i in range(1, 400) if i % 5}
    assert all(abs(right) <= 20 and abs(down) <= 40 for right, down in shifts)
    assert len(shifts) > 100


def test_online_translation(items, transforms):
    dataset = PartMaskDataset(items, transforms, translation=Translation("online", 5, 0.2))
    assert len(dataset) == 6
    assert len({dataset.translation.shift(0, (100, 200)) for _ in range(20)}) > 10


def test_keys():
    from yacs.config import CfgNode

    node = CfgNode({"MODE": "offline", "FOLD": 5, "LIMIT": 0.05})
    assert Translation.from_config(node) == Translation("offline", 5, 0.05)
    node.MODE = "none"
    assert Translation.from_config(node) is None
    for key, value in (("MODE", "sideways"), ("FOLD", 0), ("LIMIT", 1.0)):
        wrong = CfgNode({"MODE": "offline", "FOLD": 5, "LIMIT": 0.05, key: value})
        with pytest.raises(ConfigError, match=f"TRANSLATION.{key}"):
            Translation.from_config(wrong)


@pytest.mark.parametrize("strict", [False, True])
def test_no_usable_mask_at_all_stops_the_run(items, transforms, strict):
    with pytest.raises(
        DataError, match=r"6 of 6 images have no usable mask.*PRIOR\.FOLDER, or set .* uniform"
    ):
        PartMaskDataset(items, transforms, folder="no_such_folder", strict=strict)
