"""Every family of timm as a backbone: trained, evaluated, explained, exported; docs/backbones.md says the same."""

import re
from pathlib import Path

import pytest
import torch
from fastreid.utils.events import EventStorage

from fastreid_projects.amd.targets import FrozenTarget
from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.backbone_stages import run_stages
from fastreid_projects.visualization.contributions import DistanceExplainer
from fastreid_projects.visualization.gradcam import gradcam, named_layer
from tests.timm_families import FAMILIES, pictures

each_family = pytest.mark.parametrize("kind", FAMILIES)
PAGE = Path(__file__).resolve().parents[3] / "docs" / "backbones.md"


@each_family
def test_a_step_moves_all_that_is_trained(kind, build_timm):
    family = FAMILIES[kind]
    model = build_timm(family).train()
    batch = {"images": pictures(family, 4), "targets": torch.tensor([0, 0, 1, 1])}
    before = {name: value.clone() for name, value in model.named_parameters()}
    with EventStorage():
        losses = model(batch)
    sum(losses.values()).backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01).step()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    still = [name for name, p in trained.items() if p.grad.any() and torch.equal(p, before[name])]
    assert still == []


@each_family
def test_its_map_has_the_grid_and_the_class_token_is_one_cell(kind, build_timm):
    family = FAMILIES[kind]
    model = build_timm(family).eval()
    maps = model.backbone(pictures(family))
    one = "ClassTokenPooling" in family.opts
    assert maps.shape == (2, family.channels, *((1, 1) if one else family.grid))
    assert model(pictures(family)).shape == (2, family.channels)


@each_family
def test_gradcam_shows_its_cells_of_any_layer(kind, build_timm):
    family = FAMILIES[kind]
    model = build_timm(family)
    images = pictures(family)
    (found,) = gradcam(model, images).values()
    assert found.shape == (2, *family.grid)
    assert found.amax() > 0
    name = f"backbone.{family.block}"
    block = gradcam(model, images, layers=named_layer(model, name))[name]
    assert block.dim() == 3
    assert min(block.shape[1:]) > 1
    assert torch.isfinite(block).all()


@each_family
def test_the_cells_of_both_images_add_up_to_the_distance(kind, build_timm):
    family = FAMILIES[kind]
    model = build_timm(family)
    images = pictures(family)
    (found,) = DistanceExplainer(model).explain(images[:1], images[1:])
    with torch.no_grad():
        features = model.eval()(images)
    assert found.distance == pytest.approx(float((features[0] - features[1]).norm()), rel=1e-4)
    assert found.first.shape == family.grid
    exact = "ClassTokenPooling" not in family.opts
    assert abs(found.rest) < (1e-4 if exact else 0.01) * found.distance


@each_family
def test_amd_cuts_it_into_five_stages_or_refuses_it(kind, build_timm):
    family = FAMILIES[kind]
    model = build_timm(family).eval()
    if not family.stages:
        with pytest.raises(ConfigError, match="cannot be cut into 5 stages, so AMD cannot explain it"):
            FrozenTarget(model, 3)
        return
    target = FrozenTarget(model, 3)
    output = target(model.preprocess_image(pictures(family)))
    torch.testing.assert_close(output.embedding, model(pictures(family)))
    rest = run_stages(target.stages[3:], output.shared)
    torch.testing.assert_close(rest, output.branches[0].features)


@each_family
def test_its_onnx_file_gives_its_features(kind, build_timm):
    pytest.importorskip("onnxruntime")
    from fastreid_projects.export import compare, to_onnx

    family = FAMILIES[kind]
    model = build_timm(family).eval()
    size = pictures(family, 1).shape[2:]
    found = compare(model, to_onnx(model, tuple(size)), tuple(size), batch_sizes=(1, 3))
    assert max(found["largest_error"].values()) < 1e-4


def test_the_page_says_which_family_can_be_cut():
    rows = re.findall(r"^\| ([^|]+?) \| `(\w+)[^|]*\|([^|]*)\|", PAGE.read_text(), re.M)
    told = {name: "yes" in amd for _, name, amd in rows}
    assert told
    for family in FAMILIES.values():
        assert told[family.name] == family.stages, family.name
