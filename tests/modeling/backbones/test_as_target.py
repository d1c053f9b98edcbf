"""AMD's interpreter on targets of timm."""

import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils.events import EventStorage

from fastreid_projects.config import load_config
from tests.amd.conftest import INTERPRETER, save_target
from tests.timm_families import FAMILIES, opts_of

pytest.importorskip("timm")


@pytest.mark.parametrize("kind", ["ResNet", "ConvNeXt", "EfficientNet", "Swin"])
def test_an_interpreter_learns_on_it_and_the_target_stays(kind, tmp_path, timm_cfg):
    family = FAMILIES[kind]
    config, weights = save_target(tmp_path / "target", *opts_of(family))
    own = ["MODEL.AMD.TARGET.CONFIG", config, "MODEL.AMD.TARGET.WEIGHTS", weights, "MODEL.DEVICE", "cpu"]
    torch.manual_seed(1)
    model = META_ARCH_REGISTRY.get("AMD")(
        load_config(INTERPRETER, [*own, "OUTPUT_DIR", str(tmp_path)])
    ).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.Generator().manual_seed(3)
    batch = {
        "images": 255 * torch.rand(4, 3, 128, 64, generator=generator),
        "targets": torch.arange(4) // 2,
        "attributes": torch.randint(0, 2, (4, 26), generator=generator, dtype=torch.int8),
    }
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    with EventStorage():
        losses = model(batch)
    sum(losses.values()).backward()
    optimizer.step()
    assert all(torch.isfinite(loss) for loss in losses.values())
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before if name.startswith("target."))
    moved = [
        name for name, p in model.named_parameters() if p.requires_grad and not torch.equal(p, before[name])
    ]
    assert any(name.startswith("free_stages") for name in moved)
    with torch.no_grad():
        assert model.eval()(batch).shape == (4, 27, family.channels)
