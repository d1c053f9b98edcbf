"""Batches: normalised out of place, moved to the model, never changed."""

import pytest
import torch
from fastreid.evaluation.evaluator import DatasetEvaluator, inference_on_dataset
from fastreid.modeling.meta_arch import baseline, build_model, mgn
from fastreid.modeling.meta_arch.baseline import Baseline
from fastreid.modeling.meta_arch.mgn import MGN

from fastreid_projects.modeling.batch import move_batch
from tests.host.as_it_is import host_function


class Stub:
    pixel_mean = torch.full((1, 3, 1, 1), 1.0)
    pixel_std = torch.full((1, 3, 1, 1), 2.0)
    device = torch.device("cpu")


@pytest.mark.parametrize("arch", [Baseline, MGN])
def test_images_are_normalised_out_of_place(arch, unpatched):
    assert unpatched["baseline_changes_images"]
    assert unpatched["mgn_changes_images"]
    images = torch.full((1, 3, 2, 2), 5.0)
    for batch in (images, {"images": images}):
        assert torch.equal(arch.preprocess_image(Stub(), batch), torch.full((1, 3, 2, 2), 2.0))
        assert torch.equal(images, torch.full((1, 3, 2, 2), 5.0))
    with pytest.raises(TypeError):
        arch.preprocess_image(Stub(), [images])


def test_images_come_to_the_models_device():
    stub = Stub()
    stub.device = torch.device("meta")
    stub.pixel_mean, stub.pixel_std = stub.pixel_mean.to("meta"), stub.pixel_std.to("meta")
    assert Baseline.preprocess_image(stub, torch.ones(1, 3, 2, 2)).is_meta


def test_move_batch():
    batch = {"images": torch.ones(2), "targets": torch.tensor([-1, 2]), "img_paths": ["a", "b"]}
    moved = move_batch(batch, torch.device("meta"))
    assert moved["images"].is_meta
    assert moved["targets"].is_meta
    assert moved["img_paths"] == ["a", "b"]
    kept = move_batch(batch, torch.device("cpu"))
    kept["targets"].zero_()
    assert batch["targets"].tolist() == [-1, 2]
    assert kept["images"] is batch["images"]


class Collect(DatasetEvaluator):
    def process(self, inputs, outputs):
        self.outputs = outputs


def test_a_flipped_test_sees_each_image_normalised_once(tiny_cfg):
    """TEST.FLIP of mirrored images gives the features of the images themselves."""
    torch.manual_seed(0)
    cfg = tiny_cfg("MODEL.HEADS.NUM_CLASSES", 3)
    model = build_model(cfg).eval()
    images = torch.rand(2, 3, 32, 16) * 255
    with torch.no_grad():
        expected = (model(images) + model(images.flip(3))) / 2
    evaluator = Collect()
    loader = torch.utils.data.DataLoader(
        [0, 1], batch_size=2, collate_fn=lambda _: {"images": images.clone()}
    )
    inference_on_dataset(model, loader, evaluator, flip_test=True)
    torch.testing.assert_close(evaluator.outputs, expected)


def test_training_leaves_the_callers_targets_alone(tiny_cfg, storage):
    model = build_model(tiny_cfg("MODEL.HEADS.NUM_CLASSES", 3)).train()
    batch = {"images": torch.rand(4, 3, 32, 16), "targets": torch.full((4,), -1)}
    losses = model(batch)
    assert all(loss.isfinite() for loss in losses.values())
    assert batch["targets"].tolist() == [-1] * 4


@pytest.mark.parametrize(("module", "name"), [(baseline, "Baseline"), (mgn, "MGN")])
@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [-1, -1, -1, -1]], ids=["labels", "none"])
def test_losses_and_features_are_those_of_the_hosts_forward(module, name, labels, tiny_cfg, storage):
    opts = ("MODEL.BACKBONE.NAME", "build_resnet_backbone", "MODEL.BACKBONE.DEPTH", "50x")
    mgn_opts = (*opts, "MODEL.BACKBONE.FEAT_DIM", 2048, "MODEL.HEADS.EMBEDDING_DIM", 8)
    torch.manual_seed(0)
    model = build_model(
        tiny_cfg(
            "MODEL.META_ARCHITECTURE",
            name,
            "MODEL.HEADS.NUM_CLASSES",
            2,
            *(mgn_opts if name == "MGN" else ()),
        )
    )
    images = torch.rand(4, 3, 96, 32) * 255
    theirs = host_function(module, f"{name}.forward")
    state = {key: value.clone() for key, value in model.state_dict().items()}
    losses = model.train()({"images": images, "targets": torch.tensor(labels)})
    model.load_state_dict(state)
    expected = theirs(model, {"images": images, "targets": torch.tensor(labels)})
    assert losses.keys() == expected.keys()
    for key, value in losses.items():
        torch.testing.assert_close(value, expected[key])
    with torch.no_grad():
        assert torch.equal(model.eval()(images), theirs(model, images))
