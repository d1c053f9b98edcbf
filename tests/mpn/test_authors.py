"""The authors' network and triplet loss, written anew from their code: the same numbers with the same weights."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils.checkpoint import Checkpointer
from torch import nn

from fastreid_projects.checkpoints.dialects import in_own_names
from fastreid_projects.config import load_config
from fastreid_projects.losses.batch_hard import BatchHardTripletLoss
from fastreid_projects.mpn.authors import from_authors
from tests.yaml_files import config_file

PARTS, CLASSES, WIDTH = 6, 5, 512


class ConvBlock(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels)

    def forward(self, x):
        return self.bn(self.conv(x))


class ChannelAttention(nn.Module):
    """Theirs, with the reduction 4."""

    def __init__(self):
        super().__init__()
        self.channel_attn = nn.ModuleDict({"conv1": ConvBlock(WIDTH, 128), "conv2": ConvBlock(128, WIDTH)})

    def forward(self, x):
        return x * self.channel_attn["conv2"](F.relu(self.channel_attn["conv1"](x))).sigmoid()


class Published(nn.Module):
    """Their student (S, main) and teacher (T, auxiliary) on a ResNet-18 without the last stride."""

    def __init__(self, attention):
        super().__init__()
        resnet = torchvision.models.resnet18(weights=None)
        resnet.layer4[0].conv1.stride = resnet.layer4[0].downsample[0].stride = (1, 1)
        self.base = nn.Sequential(*list(resnet.children())[:-2])

        def layers(channels):
            return nn.ModuleList(
                nn.Sequential(nn.Conv2d(channels, WIDTH, 1), nn.BatchNorm2d(WIDTH), nn.ReLU())
                for _ in range(PARTS)
            )

        self.local_conv_list, self.local_conv_list2 = layers(512), layers(WIDTH)
        if attention:
            self.ca_list = nn.ModuleList(ChannelAttention() for _ in range(PARTS))
        self.Sfc_list = nn.ModuleList(nn.Linear(WIDTH, CLASSES) for _ in range(PARTS))
        self.Tfc_list = nn.ModuleList(nn.Linear(WIDTH, CLASSES) for _ in range(PARTS))

    def feature(self, k, piece):
        x = F.adaptive_max_pool2d(self.local_conv_list[k](piece), 1)
        x = self.ca_list[k](x) if hasattr(self, "ca_list") else x
        return self.local_conv_list2[k](x).flatten(1)

    def forward(self, x):
        feat = self.base(x)
        rows = feat.shape[2] // PARTS
        main = [self.feature(k, feat) for k in range(PARTS)]
        auxiliary = [self.feature(k, feat[:, :, k * rows : (k + 1) * rows]) for k in range(PARTS)]
        return main, auxiliary


def config(attention, *opts):
    return load_config(
        str(config_file("mpn_r18_demo")),
        [
            *("MODEL.MPN.ATTENTION", str(attention), "MODEL.MPN.REDUCTION", "4", "MODEL.DEVICE", "cpu"),
            *("MODEL.MPN.PARTS", str(PARTS), "MODEL.MPN.WIDTH", str(WIDTH)),
            *("MODEL.MPN.PRIOR.TYPE", "uniform", "MODEL.HEADS.NUM_CLASSES", str(CLASSES), *opts),
        ],
    )


def build(cfg):
    return META_ARCH_REGISTRY.get("MPN")(cfg).double()


@pytest.fixture(scope="module", params=[False, True], ids=["without attention", "with attention"])
def pair(request):
    """Their network and ours, with the same weights and trained statistics."""
    torch.manual_seed(0)
    published = Published(request.param).double()
    for module in published.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -0.2), (module.running_var, 0.5), (module.weight, 0.5)):
                nn.init.uniform_(tensor, low, low + 0.7)
    model = build(config(request.param))
    prefixed = {f"module.{name}": value for name, value in published.state_dict().items()}
    missing, unexpected = model.load_state_dict(from_authors(prefixed), strict=False)
    assert not missing
    assert not unexpected
    return published, model


def images(n=4):
    return torch.rand(n, 3, 192, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 255


def test_the_same_features(pair):
    published, model = pair
    with torch.no_grad():
        features = model.eval()(images())
        expected, _ = published.eval()(model.preprocess_image(images()))
    assert features.shape == (4, PARTS * WIDTH)
    torch.testing.assert_close(features, torch.cat(expected, dim=1), rtol=1e-9, atol=1e-9)


def test_the_same_training_features_and_logits_of_both_tasks(pair):
    published, model = pair
    model.train()
    published.train()
    x = model.preprocess_image(images(8))
    labels = torch.arange(8) // 2
    expected = [torch.stack(task, dim=1) for task in published(x)]
    found = model.heads(model.backbone(x))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)
    heads = model.heads
    classifiers = (heads.classifier, heads.auxiliary["classifier"])
    for ours, layers, own in zip(found, (published.Sfc_list, published.Tfc_list), classifiers, strict=True):
        logits = torch.stack([layers[k](ours[:, k]) for k in range(PARTS)], dim=1)
        torch.testing.assert_close(own(ours, labels)[1], logits)


def test_their_checkpoint_is_recognised(pair, tmp_path, host_log):
    published, model = pair
    attention = model.heads.attention is not None
    path = tmp_path / "net_69.pth"
    torch.save({name: value.float() for name, value in published.state_dict().items()}, path)
    fresh = META_ARCH_REGISTRY.get("MPN")(config(attention, "MODEL.MPN.TASKS", "main"))
    with host_log.at_level("INFO", logger="fastreid"):
        checkpointer = Checkpointer(fresh)
        checkpointer.classes = CLASSES
        checkpointer.load(str(path))
    assert "the names of the authors' network: they are renamed" in host_log.text
    theirs = from_authors(published.state_dict())
    assert all(torch.equal(value, theirs[name].to(value.dtype)) for name, value in fresh.state_dict().items())


def test_our_own_names_are_ours(pair):
    _, model = pair
    assert in_own_names(model.state_dict(), model.state_dict(), model)[1] == ""


def naive_triplet(features, labels, margin):
    """Their hardest positive and negative, squared Euclidean distances, the mean over what violates."""
    unit = features / features.norm(dim=1, keepdim=True)
    distances = (unit[:, None] - unit[None]).square().sum(dim=2)
    losses = []
    for i, label in enumerate(labels):
        same = labels == label
        positive = distances[i][same & (torch.arange(len(labels)) != i)].max()
        losses.append(F.relu(positive - distances[i][~same].min() + margin))
    losses = torch.stack(losses)
    return losses[losses > 0].mean()


def test_their_triplet_is_twice_the_papers():
    cfg = load_config(str(config_file("mpn_authors_r50_market1501")))
    ours = BatchHardTripletLoss.from_config(cfg)
    labels = torch.arange(12) // 3
    for seed in range(5):
        features = torch.randn(12, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        wanted = naive_triplet(features, labels, 0.4)
        torch.testing.assert_close(cfg.MODEL.LOSSES.BATCH_HARD.SCALE * ours(features, labels), wanted)
