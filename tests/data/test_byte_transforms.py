"""Images that travel as bytes are, as floats, the host's bit by bit, and draw the host's random numbers."""

import random

import numpy as np
import pytest
import torch
import torchvision.transforms as T
from fastreid.config import get_cfg
from fastreid.data.build import CommDataset
from fastreid.data.transforms import build_transforms
from PIL import Image, ImageDraw

from fastreid_projects.data.byte_images import ByteImage, with_floats
from fastreid_projects.data.byte_transforms import ByteTransform, PaddedCrop, as_bytes
from fastreid_projects.data.collate import fast_batch_collator
from fastreid_projects.data.device_loader import CudaBatches, DeviceLoader
from fastreid_projects.data.images import read_image, reading_at_least
from fastreid_projects.data.picture_batches import load_batches
from fastreid_projects.errors import DataError

H, W = 32, 16
PAPERS = ["FLIP.ENABLED", True, "PADDING.ENABLED", True, "PADDING.SIZE", 4, "REA.ENABLED", True, "REA.PROB", 0.6]
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


@pytest.mark.parametrize("name", OPTIONS)
def test_bit_by_bit_the_hosts_images(name):
    host = transforms(*OPTIONS[name])
    ours = as_bytes(host)
    assert isinstance(ours, ByteTransform)
    seed(1)
    expected = torch.stack([host(picture(i)) for i in range(40)])
    drawn_next = torch.rand(1), random.random(), np.random.rand()
    seed(1)
    batch = fast_batch_collator([ours(picture(i)) for i in range(40)])
    assert (torch.rand(1), random.random(), np.random.rand()) == drawn_next
    assert batch.pixels.dtype == torch.uint8
    assert batch.pixels.numel() == expected.numel()
    images = batch.floats()
    assert images.is_contiguous()
    assert torch.equal(images, expected)


def test_bit_by_bit_the_hosts_test_images():
    host = transforms(is_train=False)
    batch = fast_batch_collator([as_bytes(host)(picture(i)) for i in range(3)])
    assert torch.equal(batch.floats(), torch.stack([host(picture(i)) for i in range(3)]))


def test_padding_and_its_crop_are_one_step():
    steps = as_bytes(transforms(*PAPERS)).steps
    assert [type(step) for step in steps] == [T.Resize, PaddedCrop, T.RandomHorizontalFlip]


def test_an_erasing_that_finds_no_rectangle_erases_nothing():
    thin = T.RandomErasing(p=1, scale=(0.9, 1), ratio=(50, 60), value=3)
    ours = as_bytes(T.Compose([*transforms().transforms, thin]))
    assert ours(picture(0)).erased == (0, 0, 0, 0)


def test_what_needs_floats_keeps_them_and_the_log_says_so(caplog):
    caplog.set_level("INFO", "fastreid.projects.data")
    host = transforms(*PAPERS, "RPT.ENABLED", True)
    assert as_bytes(host) is host
    assert "RandomPatch needs them" in caplog.text
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
    for transform in (transforms(*PAPERS), as_bytes(transforms(*PAPERS), reduced=True)):
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
    images = [ByteImage(np.zeros((height, 2, 3), np.uint8)) for height in (2, 3)]
    with pytest.raises(DataError, match=r"images.* cannot be collated"):
        fast_batch_collator([{"images": image} for image in images])


def test_only_bytes_are_turned():
    batch = {"images": torch.zeros(2), "nested": {"names": ["a"]}}
    assert with_floats(batch) == batch


def detailed(size, quality=90):
    """A picture of fine and coarse detail: noise at three scales, and sharp edges."""
    rng, (width, height) = np.random.default_rng(0), size
    image = Image.fromarray(rng.integers(0, 256, (height // 64, width // 64, 3), dtype=np.uint8))
    image = image.resize(size, Image.Resampling.BICUBIC)
    for cell in (2, 16):
        noise = Image.fromarray(rng.integers(0, 256, (height // cell, width // cell, 3), dtype=np.uint8))
        image = Image.blend(image, noise.resize(size, Image.Resampling.BICUBIC), 0.3)
    draw = ImageDraw.Draw(image)
    for number in range(0, height, 37):
        draw.line([(0, number), (width, height - number)], fill=(number % 256, 30, 200), width=5)
    return image


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("factor", [6, 8, 12, 24])
def test_a_reduced_jpeg_is_as_good_when_resized(tmp_path, factor, orientation):
    """Within 1 grey value on average of the whole one, less than a JPEG of quality 95 loses."""
    size = (W * factor, H * factor) if orientation == 1 else (H * factor, W * factor)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = str(tmp_path / "a.jpg")
    detailed(size).save(path, quality=90, exif=exif)
    whole = read_image(path)
    with reading_at_least((H, W)):
        reduced = read_image(path)
    assert whole.size == (W * factor, H * factor)
    assert 3 * W <= reduced.width <= whole.width // 2
    resize = T.Resize((H, W), interpolation=3)
    difference = np.abs(np.asarray(resize(reduced), float) - np.asarray(resize(whole), float))
    assert difference.mean() < 1
    assert read_image(path).size == whole.size


@pytest.mark.parametrize("factor, suffix", [(5, "jpg"), (8, "png")])
def test_others_are_decoded_whole(tmp_path, factor, suffix):
    path = str(tmp_path / f"a.{suffix}")
    detailed((W * factor, H * factor)).save(path)
    with reading_at_least((H, W)):
        assert read_image(path).size == (W * factor, H * factor)


def test_a_dataset_reads_at_the_reduced_size(tmp_path):
    path = str(tmp_path / "a.jpg")
    detailed((8 * W, 8 * H)).save(path)
    sizes = []
    for reduced in (True, False):
        transform = as_bytes(transforms(*PAPERS), reduced=reduced)
        transform.steps.insert(0, lambda image: (sizes.append(image.size), image)[1])
        CommDataset([(path, 0, 0)], transform, relabel=False)[0]
    assert sizes == [(4 * W, 4 * H), (8 * W, 8 * H)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_floats_on_the_gpu_are_those_of_the_cpu():
    batch = fast_batch_collator([as_bytes(transforms(*PAPERS))(picture(i)) for i in range(8)])
    moved = type(batch)(*(None if part is None else part.cuda() for part in batch))
    assert torch.equal(moved.floats().cpu(), batch.floats())
