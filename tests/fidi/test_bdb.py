"""BDB beside the published network written down again in plain torch, with the same weights."""

import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils.events import EventStorage
from torch import nn
from torchvision.models import resnet50
from torchvision.models.resnet import Bottleneck

from fastreid_projects import plugins
from fastreid_projects.errors import ConfigError
from fastreid_projects.fidi.bdb import drop_block, from_authors

NUM_CLASSES = 7


class Published(nn.Module):
    """The authors' network as their code builds it, without the random block."""

    def __init__(self):
        super().__init__()
        resnet = resnet50()
        self.backbone = nn.Sequential(
            resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool, resnet.layer1, resnet.layer2, resnet.layer3
        )
        shortcut = nn.Sequential(nn.Conv2d(1024, 2048, kernel_size=1, bias=False), nn.BatchNorm2d(2048))
        self.res_part = nn.Sequential(
            Bottleneck(1024, 512, stride=1, downsample=shortcut), Bottleneck(2048, 512), Bottleneck(2048, 512)
        )
        self.global_softmax = nn.Linear(512, NUM_CLASSES)
        self.global_reduction = nn.Sequential(nn.Conv2d(2048, 512, 1), nn.BatchNorm2d(512), nn.ReLU())
        self.res_part2 = Bottleneck(2048, 512)
        self.reduction = nn.Sequential(nn.Linear(2048, 1024), nn.BatchNorm1d(1024), nn.ReLU())
        self.softmax = nn.Linear(1024, NUM_CLASSES)

    def forward(self, images):
        maps = self.res_part(self.backbone(images))
        whole = self.global_reduction(nn.functional.adaptive_avg_pool2d(maps, 1)).flatten(1)
        maps = self.res_part2(maps)
        part = self.reduction(nn.functional.adaptive_max_pool2d(maps, 1).flatten(1))
        return [whole, part], [self.global_softmax(whole), self.softmax(part)]


def config(depth="50x", losses=("CrossEntropyLoss", "FIDILoss")):
    cfg = plugins.get_cfg()
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.DEVICE = "BDB", "cpu"
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH = "build_resnet_backbone", depth
    cfg.MODEL.BACKBONE.FEAT_DIM = 2048 if depth == "50x" else 512
    cfg.MODEL.BACKBONE.PRETRAIN, cfg.MODEL.BACKBONE.LAST_STRIDE = False, 1
    cfg.MODEL.HEADS.NUM_CLASSES = NUM_CLASSES
    cfg.MODEL.LOSSES.NAME = list(losses)
    return cfg


def build(cfg):
    return META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)


@pytest.fixture(scope="module")
def pair():
    """BDB and the published network, with the same weights and trained statistics."""
    torch.manual_seed(0)
    published, model = Published(), build(config())
    for module in published.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    prefixed = {f"module.{key}": value for key, value in published.state_dict().items()}
    missing, unexpected = model.load_state_dict(from_authors(prefixed), strict=False)
    assert not unexpected
    assert set(missing) <= {"pixel_mean", "pixel_std"}
    return published, model


def images(n=4):
    return torch.rand(n, 3, 96, 32, generator=torch.Generator().manual_seed(0)) * 255


def test_the_same_number_of_parameters(pair):
    published, model = pair
    counts = [sum(p.numel() for p in net.parameters()) for net in (published, model)]
    assert counts[0] == counts[1]
    assert [p.shape for p in published.parameters()] == [p.shape for p in model.parameters()]


def test_the_same_features(pair):
    published, model = pair
    published.eval()
    model.eval()
    with torch.no_grad():
        features = model(images())
        expected = torch.cat(published(model.preprocess_image(images()))[0], dim=1)
    assert features.shape == (4, 512 + 1024)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


def test_the_same_losses(pair):
    """Without the block; cross entropy and triplet of either branch, summed."""
    published, _ = pair
    cfg = config(losses=("CrossEntropyLoss", "BatchHardTripletLoss"))
    cfg.MODEL.LOSSES.CE.EPSILON, cfg.MODEL.LOSSES.BATCH_HARD.SOFT_MARGIN = 0.0, True
    cfg.MODEL.FIDI.BDB.HEIGHT_RATIO = 0.0
    model = build(cfg)
    model.load_state_dict(from_authors(published.state_dict()), strict=False)
    model.train()
    published.train()
    labels = torch.arange(8) // 2
    with EventStorage():
        losses = model({"images": images(8), "targets": labels})
    features, logits = published(model.preprocess_image(images(8)))
    expected = {}
    for branch, feature, logit in zip(("global", "drop"), features, logits, strict=True):
        expected[f"loss_cross_entropy_{branch}"] = nn.functional.cross_entropy(logit, labels)
        distances = torch.cdist(feature, feature)
        same = labels[:, None] == labels
        gap = distances.masked_fill(~same, 0).amax(1) - distances.masked_fill(same, 1e9).amin(1)
        expected[f"loss_batch_hard_triplet_{branch}"] = nn.functional.softplus(gap).mean()
    assert set(losses) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("ratios", "shape"), [((1 / 3, 1.0), (8, 8)), ((0.5, 0.25), (12, 2)), ((0, 1), (0, 8))]
)
def test_one_block_is_dropped_for_the_whole_batch(ratios, shape):
    maps = torch.ones(3, 2, 24, 8)
    tops = set()
    for _ in range(40):
        dropped = drop_block(maps, *ratios)
        zero = dropped == 0
        assert (zero == zero[0, 0]).all(), "the same everywhere"
        rows, columns = zero[0, 0].any(1), zero[0, 0].any(0)
        assert int(zero[0, 0].sum()) == shape[0] * shape[1]
        if shape[0]:
            assert (int(rows.sum()), int(columns.sum())) == shape
            tops.add(int(rows.nonzero()[0]))
    assert (maps == 1).all(), "its input stays as it is"
    assert len(tops) > 5 or not shape[0], "at random places"


def test_the_block_is_dropped_in_training_alone():
    torch.manual_seed(0)
    model = build(config("18x"))
    heads = model.heads
    maps = torch.rand(4, 512, 12, 4)
    heads.eval()
    assert torch.equal(heads(maps)["drop"], heads(maps)["drop"])
    heads.train()
    found = {tuple(heads(maps)["drop"].flatten().tolist()) for _ in range(8)}
    assert len(found) > 1


def test_a_step_moves_every_parameter():
    torch.manual_seed(0)
    model = build(config("18x")).train()
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with EventStorage():
        losses = model({"images": images(8), "targets": torch.arange(8) // 2})
    assert set(losses) == {
        f"loss_{kind}_{branch}" for kind in ("cross_entropy", "fidi") for branch in ("global", "drop")
    }
    sum(losses.values()).backward()
    optimizer.step()
    still = [name for name, value in model.named_parameters() if torch.equal(value, before[name])]
    # biases before a BatchNorm have no effect, and no gradient but rounding
    assert set(still) <= {"heads.global_reduction.0.bias", "heads.reduction.0.bias"}


def test_batches_without_labels_are_taken():
    model = build(config("18x")).train()
    with EventStorage():
        losses = model({"images": images(4), "targets": torch.full((4,), -1)})
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_amd_can_explain_it():
    """Its stages and branches, put together again, are its feature; d splits into contributions."""
    from fastreid_projects.amd.targets import FrozenTarget, embed

    torch.manual_seed(0)
    model = build(config("18x")).eval()
    target = FrozenTarget(model, 3)
    with torch.no_grad():
        output = target(model.preprocess_image(images()))
        torch.testing.assert_close(output.embedding, model(images()))
        attention = torch.rand(4, 5, 6, 2) + 0.1
        parts = [embed(branch, attention, neck=True) for branch in output.branches]
    assert [part.shape for part in parts] == [(4, 5, 512), (4, 5, 1024)]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("MODEL.FIDI.BDB.HEIGHT_RATIO", 1.5, "HEIGHT_RATIO is 1.5, but has to be in 0..1"),
        ("MODEL.BACKBONE.FEAT_DIM", 510, "multiple of 4"),
        (
            "MODEL.HEADS.POOL_LAYER",
            "GlobalMaxPool",
            "POOL_LAYER GlobalMaxPool contradicts the architecture BDB",
        ),
        ("MODEL.LOSSES.NAME", ["AttributePriorLoss"], "BDB offers features and logits"),
    ],
)
def test_what_cannot_be_is_refused(key, value, words):
    cfg = config("18x")
    cfg.merge_from_list([key, value])
    with pytest.raises(ConfigError, match=words):
        build(cfg)


def test_the_command_trains_resumes_and_evaluates(tiny_cfg, tiny_market, tmp_path):
    import json

    from fastreid_projects.engine.main import main

    tiny_market(ids=4, images=2, size=(16, 32))
    options = [
        "DATASETS.NAMES",
        ("Market1501",),
        "DATASETS.TESTS",
        ("Market1501",),
        "MODEL.META_ARCHITECTURE",
        "BDB",
    ]
    config = tmp_path / "bdb.yml"
    config.write_text(tiny_cfg(*options, "TEST.FIDELITY.ENABLED", True).dump())
    opts = ["MODEL.LOSSES.NAME", "('CrossEntropyLoss','FIDILoss')"]
    record, weights = tmp_path / "logs" / "run.json", tmp_path / "logs" / "model_final.pth"
    assert main(["--config-file", str(config), *opts]) == 0
    trained = json.loads(record.read_text())["metrics"]
    assert main(["--config-file", str(config), "--resume", *opts, "SOLVER.MAX_EPOCH", "2"]) == 0
    resumed = json.loads(record.read_text())["metrics"]
    opts += ["MODEL.WEIGHTS", str(weights), "OUTPUT_DIR", str(tmp_path / "eval")]
    assert main(["--config-file", str(config), "--eval-only", *opts]) == 0
    evaluated = json.loads((tmp_path / "eval" / "run.json").read_text())["metrics"]
    assert {"mAP", "Rank-1", "Error-I", "Error-II"} <= set(trained)
    assert evaluated == pytest.approx(resumed)
