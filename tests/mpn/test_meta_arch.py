"""The architecture through the registry: losses of every row, any loss, backbones, and what moves."""

import itertools
from pathlib import Path

import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils.events import EventStorage

from fastreid_projects import plugins
from fastreid_projects.config import load_config
from fastreid_projects.errors import ConfigError, DataError, WeightsError
from fastreid_projects.losses import LOSSES
from fastreid_projects.mpn.alignment import class_wise
from fastreid_projects.mpn.data.part_masks import HEAD, LEG

plugins.register_all()
ROOT = Path(__file__).resolve().parents[2]
DEMO = str(ROOT / "projects" / "MPN" / "configs" / "demo" / "mpn_r18_demo.yml")


def build(*opts):
    given = ["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "4", "MODEL.MPN.WIDTH", "32", *opts]
    cfg = load_config(DEMO, given)
    torch.manual_seed(0)
    return META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)


def batch(n=8, size=(128, 64)):
    generator = torch.Generator().manual_seed(5)
    mask = torch.zeros(n, *size, dtype=torch.uint8)
    mask[:, 20:50, 16:48], mask[:, 50:110, 16:48] = HEAD, LEG
    return {
        "images": torch.rand(n, 3, *size, generator=generator) * 255,
        "targets": torch.arange(n) // 4,
        "part_masks": mask,
        "whole_part_masks": mask,
    }


def losses_of(model, data=None):
    with EventStorage(0):
        return model.train()(data or batch())


BOTH = {"loss_cross_entropy_main", "loss_cross_entropy_auxiliary", "loss_batch_hard_triplet"}
ROWS = {
    "baseline": (
        ("MODEL.MPN.TASKS", "auxiliary"),
        {"loss_cross_entropy_auxiliary", "loss_batch_hard_triplet"},
    ),
    "mtonly": (("MODEL.MPN.TASKS", "main"), {"loss_cross_entropy_main", "loss_batch_hard_triplet"}),
    "naive": (
        ("MODEL.MPN.SHARE_CONV1", "none", "MODEL.MPN.SHARE_CONV2", "none", "MODEL.MPN.ALIGN", "none"),
        BOTH,
    ),
    "psa": (("MODEL.MPN.ALIGN", "none"), BOTH),
    "triplet": (("MODEL.MPN.ALIGN", "sample_triplet"), BOTH),
    "mpn": ((), BOTH | {"loss_alignment"}),
    "uniform": (("MODEL.MPN.PRIOR.TYPE", "uniform"), BOTH | {"loss_alignment"}),
    "roi": (("MODEL.MPN.PRIOR.TYPE", "roi"), BOTH | {"loss_alignment"}),
    "soft": (
        ("MODEL.MPN.SHARE_CONV1", "soft", "MODEL.MPN.SHARE_CONV2", "none", "MODEL.MPN.ALIGN", "none"),
        BOTH | {"loss_soft_sharing"},
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_rows_of_the_tables_take_a_step(row):
    """Their losses by name; every trainable parameter has a gradient."""
    opts, names = ROWS[row]
    model = build(*opts)
    losses = losses_of(model)
    assert set(losses) == names
    assert all(loss.dim() == 0 and torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None and p.requires_grad]
    assert not without
    model.eval()
    with torch.no_grad():
        assert model(batch()).shape == (8, 4 * 32)


def test_losses_are_equations_1_to_10():
    model = build("MODEL.MPN.LAMBDA", "0.7")
    data = batch()
    losses = losses_of(model, data)
    model = build("MODEL.MPN.LAMBDA", "0.7").train()  # the same start: the norms' statistics have moved
    maps = model.backbone(model.preprocess_image(data))
    main, auxiliary = model.heads(maps, model.regions(data, maps))
    ce = torch.nn.functional.cross_entropy
    for features, layer, name in (
        (main, model.heads.classifier, "main"),
        (auxiliary, model.heads.auxiliary["classifier"], "auxiliary"),
    ):
        parts = [ce(features[:, k] @ layer.weight[k].T + layer.bias[k], data["targets"]) for k in range(4)]
        torch.testing.assert_close(losses[f"loss_cross_entropy_{name}"], sum(parts))
    h, g = main.flatten(1), auxiliary.flatten(1)
    torch.testing.assert_close(losses["loss_alignment"], 0.7 * class_wise(h, g, data["targets"]))
    unit = torch.nn.functional.normalize(h)
    distance = 1 - unit @ unit.T
    same = data["targets"][:, None] == data["targets"]
    violations = []
    for i in range(8):
        hinge = distance[i][same[i]].max() - distance[i][~same[i]].min() + 0.2
        violations += [hinge] if hinge > 0 else []
    torch.testing.assert_close(losses["loss_batch_hard_triplet"], torch.stack(violations).mean())


def test_sample_triplet_feeds_the_sum():
    seen = {}
    for align in ("none", "sample_triplet"):
        model = build("MODEL.MPN.ALIGN", align)
        loss = model.loss_modules["loss_batch_hard_triplet"]
        loss.register_forward_hook(lambda _, inputs, __, align=align: seen.update({align: inputs[0]}))
        losses_of(model)
    model = build().train()
    data = batch()
    maps = model.backbone(model.preprocess_image(data))
    main, auxiliary = model.heads(maps, model.regions(data, maps))
    torch.testing.assert_close(seen["none"], main.flatten(1))
    torch.testing.assert_close(seen["sample_triplet"], (main + auxiliary).flatten(1))


@pytest.mark.parametrize(
    "name", sorted(name for name, loss in LOSSES.items() if loss.inputs in ("features", "logits"))
)
def test_any_registered_loss(name):
    """In place of the triplet, with the cross entropy; MPN's parameters move."""
    names = dict.fromkeys(("CrossEntropyLoss", name))
    model = build("MODEL.LOSSES.NAME", str(tuple(names)))
    before = {key: value.clone() for key, value in model.state_dict().items() if value.is_floating_point()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = batch()
    data["targets"] = torch.arange(8) // 2  # some losses need three identities
    losses = losses_of(model, data)
    sum(losses.values()).backward()
    optimizer.step()
    moved = {key for key, value in before.items() if not torch.equal(value, model.state_dict()[key])}
    assert {"backbone.conv1.weight", "heads.conv1.weight", "heads.conv2.weight"} <= moved


@pytest.mark.parametrize(
    "opts",
    [
        ("MODEL.BACKBONE.DEPTH", "34x"),
        ("MODEL.BACKBONE.DEPTH", "50x", "MODEL.BACKBONE.FEAT_DIM", "2048"),
        ("MODEL.BACKBONE.WITH_IBN", "True"),
        ("MODEL.BACKBONE.DEPTH", "50x", "MODEL.BACKBONE.FEAT_DIM", "2048", "MODEL.BACKBONE.WITH_IBN", "True"),
        ("MODEL.MPN.RGA", "True"),
        ("MODEL.MPN.PARTS", "3"),
        ("MODEL.HEADS.CLS_LAYER", "CircleSoftmax", "MODEL.HEADS.SCALE", "64", "MODEL.HEADS.MARGIN", "0.35"),
    ],
    ids=lambda opts: " ".join(opts),
)
def test_backbones_and_variants_take_a_step(opts):
    model = build(*opts)
    sum(losses_of(model).values()).backward()
    assert model.backbone.conv1.weight.grad.abs().sum() > 0


def test_learns():
    """One batch, twenty steps: the cross entropies of both tasks fall to half."""
    model = build("MODEL.LOSSES.NAME", "('CrossEntropyLoss', 'BatchHardTripletLoss')")
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    data = batch(size=(64, 32))
    first = None
    for _ in range(20):
        losses = losses_of(model, data)
        first = first or {name: float(value.detach()) for name, value in losses.items()}
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    for name in ("loss_cross_entropy_main", "loss_cross_entropy_auxiliary"):
        assert losses[name].item() < 0.5 * first[name], name


def test_batches_without_labels_and_untouched_inputs():
    """PRECISE_BN's batches have targets -1; a batch may be used twice."""
    model = build()
    data = batch()
    data["targets"] = torch.full((8,), -1)
    kept = {key: value.clone() for key, value in data.items()}
    assert all(torch.isfinite(loss) for loss in losses_of(model, data).values())
    assert all(torch.equal(kept[key], data[key]) for key in data)


def test_evaluation_takes_a_plain_tensor_and_needs_no_mask():
    model = build().eval()
    with torch.no_grad():
        assert torch.equal(model(batch()["images"]), model({"images": batch()["images"]}))


def test_upper_bound_baseline_looks_at_the_corrected_box():
    """Table 1, Baseline (UB): rows outside of the body do not reach any part's piece, at test time either."""
    model = build("MODEL.MPN.TASKS", "auxiliary", "MODEL.MPN.PRIOR.TYPE", "roi").eval()
    data = batch()
    maps = torch.rand(8, 512, 8, 4)
    regions = model.regions(data, maps)
    assert (regions.top.tolist(), regions.bottom.tolist()) == ([1] * 8, [7] * 8)
    other = maps.clone()
    other[:, :, [0, 7]] += 1
    assert torch.equal(model.heads(maps, regions), model.heads(other, regions))
    with torch.no_grad():
        assert not torch.equal(model(data), model({**data, "whole_part_masks": data["part_masks"] * 0}))


def test_accuracy_is_logged():
    with EventStorage(0) as storage:
        build().train()(batch())
    assert 0 <= storage.latest()["cls_accuracy"][0] <= 1


@pytest.mark.parametrize(
    "opts, error, words",
    [
        (("MODEL.MPN.PRIOR.TYPE", "masks"), ConfigError, ("MODEL.MPN.PRIOR.TYPE", "roi")),
        (("MODEL.MPN.ALIGN", "classes"), ConfigError, ("MODEL.MPN.ALIGN", "sample_triplet")),
        (("MODEL.HEADS.NAME", "EmbeddingHead"), ConfigError, ("MPNHead",)),
        (
            ("MODEL.MPN.TASKS", "auxiliary", "TEST.FLIP.ENABLED", "True"),
            ConfigError,
            ("TEST.FLIP.ENABLED", "PRIOR.TYPE mask"),
        ),
        (("MODEL.HEADS.POOL_LAYER", "GlobalMaxPool"), ConfigError, ("POOL_LAYER GlobalMaxPool", "MPNHead")),
        (("MODEL.LOSSES.NAME", "('TripletLos',)"), ConfigError, ("did you mean TripletLoss",)),
        (
            ("MODEL.MPN.RGA", "True", "INPUT.SIZE_TEST", "[64]"),
            ConfigError,
            ("MODEL.MPN.RGA", "INPUT.SIZE_TEST is [64]", "[height, width]"),
        ),
        (
            (
                "MODEL.MPN.RGA",
                "True",
                "MODEL.BACKBONE.NAME",
                "build_osnet_backbone",
                "MODEL.BACKBONE.DEPTH",
                "x0_25",
            ),
            ConfigError,
            ("MODEL.MPN.RGA", "layer1"),
        ),
    ],
)
def test_mistakes_are_one_sentence(opts, error, words):
    with pytest.raises(error) as caught:
        build(*opts)
    for word in words:
        assert word in str(caught.value)


def test_a_batch_without_masks_is_one_sentence():
    data = {key: value for key, value in batch().items() if "mask" not in key}
    with pytest.raises(DataError, match="part_masks"):
        losses_of(build(), data)
    for opts in (("MODEL.MPN.PRIOR.TYPE", "uniform"), ("MODEL.MPN.TASKS", "main")):
        losses_of(build(*opts), data)


def test_which_dataset_it_asks_for():
    arch = META_ARCH_REGISTRY.get(load_config(DEMO).MODEL.META_ARCHITECTURE)
    needs = {}
    for tasks, prior, mode in itertools.product(
        ("both", "main", "auxiliary"), ("mask", "uniform"), ("none", "offline")
    ):
        cfg = load_config(DEMO, ["MODEL.MPN.TASKS", tasks, "MODEL.MPN.PRIOR.TYPE", prior])
        cfg.MODEL.MPN.TRANSLATION.MODE = mode
        for is_train in (True, False):
            make = arch.own_dataset(cfg, is_train)
            needs[tasks, prior, mode, is_train] = make and (
                make.keywords["folder"],
                make.keywords["translation"],
            )
    for (tasks, prior, mode, is_train), found in needs.items():
        masked = prior == "mask" and (tasks == "auxiliary" or (tasks == "both" and is_train))
        moved = mode == "offline" and is_train
        assert (found is not None) == (masked or moved)
        if found is not None:
            assert (found[0] is not None) == masked
            assert (found[1] is not None) == moved


def test_mpn_star_starts_from_an_ide(tmp_path):
    """RGA-S is not in the IDE's weights; everything else of the backbone comes from there."""
    from fastreid.utils.checkpoint import Checkpointer

    torch.manual_seed(1)
    plain = build()
    with torch.no_grad():
        plain.backbone.conv1.weight.fill_(0.25)
    ide = {name: value for name, value in plain.state_dict().items() if name.startswith("backbone.")}
    torch.save({"model": ide}, tmp_path / "ide.pth")
    star = build("MODEL.MPN.RGA", "True")
    Checkpointer(star).load(str(tmp_path / "ide.pth"))
    assert (star.backbone.conv1.weight == 0.25).all()
    assert set(ide) < set(star.state_dict())
    half = {name: value for name, value in ide.items() if "layer3" not in name and "layer4" not in name}
    torch.save({"model": half}, tmp_path / "half.pth")
    with pytest.raises(WeightsError, match="belongs to another model"):
        Checkpointer(star).load(str(tmp_path / "half.pth"))


def test_soft_sharing_pulls_the_attention_as_conv2():
    model = build("MODEL.MPN.SHARE_CONV2", "soft", "MODEL.MPN.ALIGN", "none")
    assert model.soft_pairs == ("conv2", "attention")
    losses_of(model)["loss_soft_sharing"].backward()
    for name in ("conv2", "attention"):
        pairs = zip(
            getattr(model.heads, name).parameters(), model.heads.auxiliary[name].parameters(), strict=True
        )
        for shared, own in pairs:
            torch.testing.assert_close(shared.grad, -own.grad)
    assert model.heads.attention.squeeze.weight.grad.any()
    assert build("MODEL.MPN.SHARE_CONV2", "soft", "MODEL.MPN.ATTENTION", "False").soft_pairs == ("conv2",)


def test_the_masked_baseline_is_not_tested_without_masks():
    model = build("MODEL.MPN.TASKS", "auxiliary").eval()
    with torch.no_grad(), pytest.raises(DataError, match="does not hold 'part_masks'"):
        model(batch()["images"])
    assert build().eval()(batch()["images"]).shape == (8, 4 * 32), "the main tasks need none"


def test_more_parts_than_rows():
    with pytest.raises(ConfigError, match=r"the map has 8 rows, fewer than MODEL\.MPN\.PARTS 9"):
        losses_of(build("MODEL.MPN.PARTS", "9"))
    losses_of(build("MODEL.MPN.PARTS", "9", "MODEL.MPN.PRIOR.TYPE", "uniform"))


def test_images_that_are_divided_evenly_are_counted():
    data = batch()
    data["part_masks"][:3] = data["whole_part_masks"][:3] = 0
    with EventStorage(0) as storage:
        build().train()(data)
        assert storage.latest()["evenly_divided_images"][0] == 3
