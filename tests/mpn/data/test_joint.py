"""Coordinates drawn into an image and its mask go the same way, whatever the host's transform list."""

import random

import numpy as np
import pytest
import torch
import torchvision.transforms as T
from fastreid.data.transforms import build_transforms
from PIL import Image

from fastreid_projects.data.byte_images import ByteBatch
from fastreid_projects.data.byte_transforms import as_bytes
from fastreid_projects.errors import ConfigError
from fastreid_projects.mpn.data.joint import JointTransform

H, W = 64, 32
GEOMETRY = {
    "flip": ("INPUT.FLIP.ENABLED", True, "INPUT.FLIP.PROB", 0.5),
    "crop": ("INPUT.CROP.ENABLED", True, "INPUT.CROP.SIZE", [H, W], "INPUT.CROP.SCALE", [0.2, 0.6]),
    "pad": ("INPUT.PADDING.ENABLED", True, "INPUT.PADDING.SIZE", 6),
    "reflect": ("INPUT.PADDING.ENABLED", True, "INPUT.PADDING.SIZE", 6, "INPUT.PADDING.MODE", "reflect"),
    "affine": ("INPUT.AFFINE.ENABLED", True),
    "resize": ("INPUT.SIZE_TRAIN", [96, 40]),
}
COVERING = {
    "erase": ("INPUT.REA.ENABLED", True, "INPUT.REA.PROB", 0.7),
    "patch": ("INPUT.RPT.ENABLED", True, "INPUT.RPT.PROB", 0.7),
}
COLOURS = {
    "jitter": ("INPUT.CJ.ENABLED", True, "INPUT.CJ.PROB", 0.7),
    "augmix": ("INPUT.AUGMIX.ENABLED", True, "INPUT.AUGMIX.PROB", 0.7),
    "autoaugment": ("INPUT.AUTOAUG.ENABLED", True, "INPUT.AUTOAUG.PROB", 0.9),
}
MOVES = sum(
    (opts for name, opts in {**GEOMETRY, **COVERING}.items() if name not in ("reflect", "resize")), ()
)
EVERYTHING = sum(COLOURS.values(), MOVES)


def transforms(*opts, is_train=True):
    from fastreid.config import get_cfg

    cfg = get_cfg()
    cfg.merge_from_list(
        ["INPUT.SIZE_TRAIN", [H, W], "INPUT.SIZE_TEST", [H, W], "INPUT.FLIP.ENABLED", False, *opts]
    )
    return build_transforms(cfg, is_train=is_train)


def drawn():
    """A smooth ramp of row and column: red = 3 * row + 20, green = 6 * column + 20; the mask holds blocks of 8."""
    rows, columns = np.mgrid[:H, :W]
    image = np.stack([3 * rows + 20, 6 * columns + 20, np.full_like(rows, 200)], 2).astype(np.uint8)
    return Image.fromarray(image), (1 + rows // 8 + 8 * (columns // 8)).astype(np.uint8)


def seed(value):
    random.seed(value)
    torch.manual_seed(value)
    np.random.seed(value)


def block(image):
    """The mask's value that the image's colours ask for."""
    row, column = (image[0] - 20) / 3, (image[1] - 20) / 6
    return 1 + (row / 8).floor() + 8 * (column / 8).floor(), row, column


@pytest.mark.parametrize("name", [*GEOMETRY, *COVERING, "all"])
def test_the_mask_shows_where_each_pixel_came_from(name):
    opts = {**GEOMETRY, **COVERING}.get(name, MOVES)
    joint = JointTransform(transforms(*opts))
    moved = covered = 0
    for value in range(40):
        seed(value)
        for op in list(getattr(joint.transforms, "transforms", [])):
            if type(op).__name__ == "RandomPatch" and not op.patchpool:
                op.min_sample_size = 1
        image, mask = joint(*drawn())
        assert mask.shape == image.shape[1:]
        assert mask.dtype == torch.uint8
        wanted, row, column = block(image)
        # away from the edges of blocks, where half a pixel decides, and of what was drawn at all
        inner = (
            ((row % 8 - 4).abs() < 2.5) & ((column % 8 - 4).abs() < 2.5) & (image[2] > 198) & (image[2] < 202)
        )
        seen = inner & (mask > 0)
        assert (mask[seen] == wanted[seen]).float().mean() > 0.99, value
        if name not in ("erase", "patch", "all"):
            assert (mask[inner] > 0).float().mean() > 0.98
        covered += int((mask == 0).sum())
        moved += not np.array_equal(mask.numpy(), drawn()[1])
    assert moved > 10
    if name in COVERING:
        assert covered > 500


@pytest.mark.parametrize("name", [*GEOMETRY, "erase", "all"])
def test_the_same_where_images_travel_as_bytes(name):
    opts = {**GEOMETRY, **COVERING}.get(name, [*MOVES, "INPUT.RPT.ENABLED", False])
    host, ours = JointTransform(transforms(*opts)), JointTransform(as_bytes(transforms(*opts)))
    for value in range(10):
        seed(value)
        expected = host(*drawn())
        seed(value)
        image, mask = ours(*drawn())
        assert torch.equal(ByteBatch.stack([image]).floats()[0], expected[0])
        assert torch.equal(mask, expected[1])


def test_erased_pixels_are_0_and_all_others_untouched():
    """Whatever the fill, exactly the pixels of the rectangle are 0."""
    for fill in ([0, 0, 0], [123.675, 116.28, 103.53], "random", 0):
        erase = T.RandomErasing(p=0.8, value=fill)
        joint = JointTransform(T.Compose([*transforms().transforms, erase]))
        for value in range(20):
            seed(value)
            image, mask = joint(*drawn())
            whole = transforms()(drawn()[0])
            changed = (image != whole).any(0)
            assert torch.equal(mask == 0, changed)
            sample = joint.carry(*drawn())
            assert (sample.mask > 0).all(), "what was there before erasing stays known"


EACH = [*GEOMETRY.values(), *COVERING.values(), *COLOURS.values(), EVERYTHING]


@pytest.mark.parametrize("opts", EACH)
def test_the_image_is_the_hosts_own(opts):
    """Same random numbers, same image as without a mask, now and in the next draw."""
    plain, joint = transforms(*opts), JointTransform(transforms(*opts))
    image, mask = drawn()
    seed(7)
    alone = [torch.as_tensor(plain(image)) for _ in range(8)]
    seed(7)
    together = [joint(image, mask)[0] for _ in range(8)]
    for a, b in zip(alone, together, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["jitter", "augmix"])
def test_colours_leave_the_mask_alone(name):
    joint = JointTransform(transforms(*COLOURS[name]))
    for value in range(10):
        seed(value)
        assert np.array_equal(joint(*drawn())[1].numpy(), drawn()[1])


def test_autoaugment_moves_the_mask_with_the_image():
    """Each of its operations that moves pixels, at full strength, moves both alike."""
    from fastreid.data.transforms import autoaugment as aa

    for name in ("ShearX", "ShearY", "TranslateXRel", "TranslateYRel", "Rotate"):
        policy = aa.AutoAugment()
        policy.policy = [[aa.AugmentOp(name, prob=1.0, magnitude=9)]]
        joint = JointTransform(T.Compose([policy, transforms().transforms[-1]]))
        for value in range(6):
            seed(value)
            image, mask = joint(*drawn())
            wanted, row, column = block(image)
            inner = ((row % 8 - 4).abs() < 2.5) & ((column % 8 - 4).abs() < 2.5) & (image[2] > 195)
            assert (mask[inner & (mask > 0)] == wanted[inner & (mask > 0)]).float().mean() > 0.97, name
            assert not np.array_equal(mask.numpy(), drawn()[1])


def test_the_test_list():
    image, mask = JointTransform(transforms("INPUT.SIZE_TEST", [128, 64], is_train=False))(*drawn())
    assert image.shape == (3, 128, 64)
    assert torch.equal(mask[::2, ::2], torch.from_numpy(drawn()[1]))


def test_an_unknown_transform_is_refused():
    class Twirl:
        pass

    for place in (T.Compose([Twirl()]), T.Compose([T.RandomApply([Twirl()])])):
        with pytest.raises(ConfigError, match="Twirl"):
            JointTransform(place)


@pytest.mark.parametrize("late", [T.RandomHorizontalFlip(), T.RandomApply([T.RandomCrop((H, W))])])
@pytest.mark.parametrize("erased", [False, True])
def test_what_moves_pixels_after_the_mask_is_a_tensor_is_refused(late, erased):
    before = [*transforms().transforms, *([T.RandomErasing()] if erased else [])]
    after = "RandomErasing" if erased else "ToTensor"
    with pytest.raises(ConfigError, match=rf"(Flip|Crop) moves pixels after {after}.*before ToTensor"):
        JointTransform(T.Compose([*before, late]))
    JointTransform(T.Compose([late, *before]))
