"""Images that travel as bytes are, as floats, the host's bit by bit, and draw the host's random numbers."""

import random

import numpy as np
import pytest
import torch
import torchvision.transforms as T
from fastreid.config import get_cfg
from fastreid.data.build import CommDataset
from fastreid.data.transforms import build_transforms
from PIL import Image

from fastreid_projects.data.byte_images import ByteImage, with_floats
from fastreid_projects.data.byte_transforms import ByteTransform, FastTransform, as_bytes
from fastreid_projects.data.collate import fast_batch_collator
from fastreid_projects.data.device_loader import CudaBatches, DeviceLoader
from fastreid_projects.data.images import read_image
from fastreid_projects.data.picture_batches import load_batches
from fastreid_projects.data.pixels import read_pixels
from fastreid_projects.errors import DataError

H, W = 32, 16
PAPERS = [
    "FLIP.ENABLED",
    True,
    "PADDING.ENABLED",
    True,
    "PADDING.SIZE",
    4,
    "REA.ENABLED",
    True,
    "REA.PROB",
    0.6,
]
OPTIONS = {
    "nothing": [],
    "flip": ["FLIP.ENABLED", True],
    "pad": ["PADDING.ENABLED", True],
    "reflect": ["PADDING.ENABLED", True, "PADDING.SIZE", 3, "PADDING.MODE", "reflect"],
    "papers": PAPERS,
    "one value": [*PAPERS, "REA.VALUE", [7.5]],
    "jitter": [*PAPERS, "CJ.ENABLED", True],
    "affine": [*PAPERS, "AFFINE.ENABLED", True],
    "augmix": [*PAPERS, "AUGMIX.ENABLED", True, "AUGMIX.PROB", 0.7],
    "autoaugment": [*PAPERS, "AUTOAUG.ENABLED", True, "AUTOAUG.PROB", 0.7],
    "random crop": [*PAPERS, "PADDING.ENABLED", False, "CROP.ENABLED", True, "CROP.SIZE", [H, W]],
}


def transforms(*opts, is_train=True):
    cfg = get_cfg()
    named = [f"INPUT.{value}" if isinstance(value, str) and value.isupper() else value for value in opts]
    cfg.merge_from_list(["INPUT.SIZE_TRAIN", [H, W], "INPUT.SIZE_TEST", [H, W], *named])
    return build_transforms(cfg, is_train=is_train)


def seed(value):
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)


def picture(number, size=(20, 40)):
    pixels = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def both(host, ours, size=(20, 40)):
    """The images of 40 pictures by both; they have drawn the same numbers."""
    seed(1)
    expected = torch.stack([host(picture(i, size)) for i in range(40)])
    drawn_next = torch.rand(1), random.random(), np.random.rand()
    seed(1)
    batch = fast_batch_collator([ours(picture(i, size)) for i in range(40)])
    assert (torch.rand(1), random.random(), np.random.rand()) == drawn_next
    assert batch.pixels.dtype == torch.uint8
    assert batch.pixels.numel() == expected.numel()
    images = batch.floats()
    assert images.is_contiguous()
    return images, expected


@pytest.mark.parametrize("name", OPTIONS)
def test_bit_by_bit_the_hosts_images(name):
    host = transforms(*OPTIONS[name])
    ours = as_bytes(host)
    assert isinstance(ours, ByteTransform)
    assert torch.equal(*both(host, ours))


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("size", [(W, H), (W // 2, H // 2), (20, 40), (111, 57)])
def test_the_fast_way_rounds_some_pixels_to_the_next_grey_value(name, size):
    host = transforms(*OPTIONS[name])
    ours = as_bytes(host, exact=False)
    fast = name in ("nothing", "flip", "pad", "papers", "one value")
    assert isinstance(ours, FastTransform if fast else ByteTransform)
    images, expected = both(host, ours, size)
    difference = (images - expected).abs()
    assert difference.max() <= (1 if fast else 0)
    assert difference.mean() < 0.02
    if size == (W, H):
        assert torch.equal(images, expected)


def test_the_log_says_what_makes_transforms_slow(caplog):
    caplog.set_level("INFO", "fastreid.projects.data")
    as_bytes(transforms(*PAPERS), exact=False)
    assert not caplog.text
    as_bytes(transforms(*PAPERS, "CJ.ENABLED", True), exact=False)
    assert "by PIL, which is slower, because of RandomApply" in caplog.text
    as_bytes(transforms("PADDING.ENABLED", True, "PADDING.MODE", "edge"), exact=False)
    assert "because of Pad\n" in caplog.text


def test_bit_by_bit_the_hosts_test_images():
    host = transforms(is_train=False)
    batch = fast_batch_collator([as_bytes(host)(picture(i)) for i in range(3)])
    assert torch.equal(batch.floats(), torch.stack([host(picture(i)) for i in range(3)]))


def test_an_erasing_that_finds_no_rectangle_erases_nothing():
    thin = T.RandomErasing(p=1, scale=(0.9, 1), ratio=(50, 60), value=3)
    ours = as_bytes(T.Compose([*transforms().transforms, thin]))
    assert ours(picture(0)).erased is None


def test_what_needs_floats_keeps_them_and_the_log_says_so(caplog):
    caplog.set_level("INFO", "fastreid.projects.data")
    host = transforms(*PAPERS, "RPT.ENABLED", True)
    assert as_bytes(host) is host
    assert "because of RandomPatch" in caplog.text
    random_fill = T.Compose([*transforms().transforms, T.RandomErasing(value="random")])
    assert as_bytes(random_fill) is random_fill
    own = T.Compose([lambda image: image, *transforms().transforms])
    assert as_bytes(own) is own
    for other in (host.transforms[0], T.Compose(host.transforms[:1])):
        assert as_bytes(other) is other


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_floats_whatever_travels(tmp_path, workers):
    paths = []
    for number in range(8):
        paths.append(str(tmp_path / f"{number}.png"))
        picture(number).save(paths[-1])
    found = []
    for transform in (transforms(*PAPERS), as_bytes(transforms(*PAPERS))):
        data = CommDataset([(path, i, 0) for i, path in enumerate(paths)], transform, relabel=True)
        seed(3)
        loader = DeviceLoader(
            device=torch.device("cpu"),
            dataset=data,
            batch_size=4,
            num_workers=workers,
            collate_fn=fast_batch_collator,
        )
        found.append(list(loader))
    for expected, batch in zip(*found, strict=True):
        assert torch.equal(batch["images"], expected["images"])
        assert torch.equal(batch["targets"], expected["targets"])
    listed = load_batches(
        paths, transforms(is_train=False), batch_size=4, workers=workers, device=torch.device("cpu")
    )
    expected = [transforms(is_train=False)(read_image(path)) for path in paths]
    assert torch.equal(torch.cat([images for _, images in listed]), torch.stack(expected))


def test_bytes_are_copied_to_the_device_and_become_floats_there(monkeypatch):
    moved, seen = [], torch.Tensor.to

    def to(self, *args, **kwargs):
        if args and isinstance(args[0], torch.device):
            moved.append(self.dtype)
        return seen(self, *args, **kwargs)

    for name in ("Stream", "current_stream", "stream"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: _Stream())
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: None)
    monkeypatch.setattr(torch.Tensor, "to", to)
    batch = {"images": fast_batch_collator([as_bytes(transforms(*PAPERS))(picture(i)) for i in range(8)])}
    images = next(CudaBatches(iter([batch]), torch.device("cpu")))["images"]
    assert moved[0] == torch.uint8  # the pixels; beside them go rectangles and what fills them
    assert torch.equal(images, batch["images"].floats())


class _Stream:
    def wait_stream(self, other):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def test_images_of_several_sizes_are_refused():
    images = [ByteImage(np.zeros((3, height, 2), np.uint8)) for height in (2, 3)]
    with pytest.raises(DataError, match=r"images.* cannot be collated"):
        fast_batch_collator([{"images": image} for image in images])


def test_only_bytes_are_turned():
    batch = {"images": torch.zeros(2), "nested": {"names": ["a"]}}
    assert with_floats(batch) == batch


def test_a_dataset_lets_fast_transforms_read(tmp_path):
    path = str(tmp_path / "a.jpg")
    picture(0, (8 * W, 8 * H)).save(path)
    transform = as_bytes(transforms(), exact=False)
    item = CommDataset([(path, "p", "c")], transform, relabel=True)[0]
    assert {key: item[key] for key in ("targets", "camids", "img_paths")} == {
        "targets": 0,
        "camids": 0,
        "img_paths": path,
    }
    assert np.array_equal(item["images"].pixels, transform(Image.fromarray(read_pixels(path, (H, W)))).pixels)
    assert not np.array_equal(item["images"].pixels, transform(read_image(path)).pixels), "of its full size"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_floats_on_the_gpu_are_those_of_the_cpu():
    batch = fast_batch_collator([as_bytes(transforms(*PAPERS))(picture(i)) for i in range(8)])
    moved = batch._replace(pixels=batch.pixels.cuda(), fill=batch.fill.cuda())
    assert torch.equal(moved.floats().cpu(), batch.floats())
