"""Grad-CAM per part, and whether it sits on the parts."""

import numpy as np
import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from PIL import Image

from fastreid_projects.config import load_config
from fastreid_projects.errors import ConfigError
from fastreid_projects.mpn.data.part_masks import HEAD, LEG, mask_path, write_mask
from fastreid_projects.mpn.part_maps import band_shares, part_maps, write_part_maps
from tests.yaml_files import config_file


def config(*opts):
    given = ["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "4", "MODEL.MPN.WIDTH", "8", *opts]
    return load_config(str(config_file("mpn_r18_demo.yml")), given)


@pytest.fixture
def model():
    cfg = config()
    torch.manual_seed(0)
    return META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)


def test_a_part_that_sees_one_channel_lights_up_there(model):
    """conv1 of part k takes channel k of F alone, which is put at its own place."""
    places = [(0, 0), (2, 1), (4, 2), (7, 3)]
    maps = torch.zeros(1, 512, 8, 4)
    for channel, (row, column) in enumerate(places):
        maps[0, channel, row, column] = 5.0
    with torch.no_grad():
        model.heads.conv1.weight.zero_()
        for k in range(4):
            model.heads.conv1.weight[8 * k : 8 * k + 8, k] = 1.0
        model.heads.conv2.weight.abs_()
        model.heads.classifier.weight.abs_()
    model.heads.attention = None
    spread = torch.nn.Conv2d(3, 512, 16, 16, bias=False)
    model.backbone = torch.nn.Sequential(spread, Fixed(maps))
    found = part_maps(model, torch.rand(1, 3, 128, 64) * 255)
    assert found.shape == (1, 4, 8, 4)
    for k, place in enumerate(places):
        lit = found[0, k] > 0
        assert lit.nonzero().tolist() == [list(place)], k


class Fixed(torch.nn.Module):
    """Replaces its input by a map, through which the gradient still is taken."""

    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, x):
        return x * 0 + self.maps


def test_of_identities(model):
    images = torch.rand(3, 3, 128, 64) * 255
    first = part_maps(model, images, torch.tensor([0, 1, 2]))
    other = part_maps(model, images, torch.tensor([3, 1, 2]))
    assert first.shape == (3, 4, 8, 4)
    assert torch.equal(first[1:], other[1:])
    assert not torch.equal(first[0], other[0])


def test_of_the_identity_that_each_part_predicts(model):
    """Each part's own (Fig. 8), which its classifier's bias decides here; or what makes up its feature."""
    images = torch.rand(2, 3, 128, 64) * 255
    with torch.no_grad():
        model.heads.classifier.bias.zero_()
        for part in range(4):
            model.heads.classifier.bias[part, part] = 100.0
    found = part_maps(model, images)
    for part in range(4):
        wanted = part_maps(model, images, torch.full((2,), part))[:, part]
        assert torch.equal(found[:, part], wanted)
    assert not torch.equal(found, part_maps(model, images, torch.zeros(2, dtype=torch.long)))
    model.heads.classifier = None
    assert part_maps(model, images, score="feature").shape == found.shape


def body(top, bottom):
    mask = torch.zeros(120, 40, dtype=torch.uint8)
    mask[top : (top + bottom) // 2, 10:30], mask[(top + bottom) // 2 : bottom, 10:30] = HEAD, LEG
    return mask


def test_shares_by_band():
    """Part 1 all on the first third of the body, part 2 evenly over the image, part 3 below the body."""
    maps = torch.zeros(1, 3, 120, 40)
    maps[0, 0, 30:40, 20] = 1
    maps[0, 1] = 1
    maps[0, 2, 100:, 20] = 1
    shares = band_shares(maps, body(30, 90)[None])
    torch.testing.assert_close(shares.bands[0], torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(shares.bands[1], torch.full((3,), 1 / 6))
    torch.testing.assert_close(shares.bands[2], torch.zeros(3))
    torch.testing.assert_close(shares.person, torch.tensor([1.0, 0.25, 0.0]))
    assert shares.area == pytest.approx(0.25)
    assert "| 100.0" in shares.table()


def test_images_without_head_or_leg_do_not_count():
    maps = torch.rand(2, 3, 12, 4)
    headless = body(30, 90)
    headless[headless == HEAD] = LEG
    assert band_shares(maps, torch.stack([body(30, 90), headless])).images == 1


def test_pictures_and_shares_of_files(model, tmp_path):
    paths = []
    for i, split in enumerate(("gallery", "query", "query")):
        path = tmp_path / "data" / split / f"{i // 2}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (120, 40, 3), dtype=np.uint8)).save(path)
        paths.append(str(path))
    for path in paths[:2]:
        write_mask(mask_path(path), body(30, 90).numpy())
    torch.save({"model": model.state_dict()}, tmp_path / "m.pth")
    cfg = config("MODEL.WEIGHTS", str(tmp_path / "m.pth"), "MODEL.MPN.PRIOR.FOLDER", "part_masks")
    files, shares = write_part_maps(cfg, paths, tmp_path / "out", pictures=2)
    assert [file.name for file in files] == ["000_0.png", "001_1.png"]
    assert (
        len(write_part_maps(cfg, paths, tmp_path / "all")[0]) == len(list((tmp_path / "all").iterdir())) == 3
    )
    assert np.array(Image.open(files[0])).shape == (128, 5 * 64, 3)
    assert shares.images == 2
    cfg.MODEL.HEADS.NUM_CLASSES = 0  # as in the config of a run: the weights say how many
    again, _ = write_part_maps(cfg, paths, tmp_path / "again", pictures=1)
    assert again[0].read_bytes() == files[0].read_bytes()
    other, _ = write_part_maps(cfg, paths, tmp_path / "other", pictures=1, score="feature")
    assert other[0].read_bytes() != files[0].read_bytes()
    state = {k: v for k, v in model.state_dict().items() if "classifier" not in k}
    torch.save({"model": state}, tmp_path / "m.pth")
    with pytest.raises(ConfigError, match=r"does not hold a classifier of body parts.*--score feature"):
        write_part_maps(cfg, paths, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"MODEL\.WEIGHTS"):
        write_part_maps(config(), paths, tmp_path / "out")


def test_another_architecture():
    with pytest.raises(ConfigError, match="MPN"):
        part_maps(torch.nn.Linear(1, 1), torch.rand(1, 3, 8, 8))
