"""Features by an interpreter are those of its target."""

import numpy as np
import torch
from PIL import Image

from fastreid_projects.extractor import Extractor


def test_the_targets_feature(amd_config, build_amd, target_files, tmp_path):
    weights = tmp_path / "amd.pth"
    torch.save({"model": build_amd().state_dict()}, weights)
    config = tmp_path / "amd.yaml"
    cfg = amd_config()
    cfg.STAGES = []
    config.write_text(cfg.dump())
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (40, 20, 3)).astype(np.uint8)) for _ in range(2)]
    own, target = (
        Extractor.from_config(*map(str, pair), ["MODEL.DEVICE", "cpu"])(images)
        for pair in ((config, weights), target_files)
    )
    np.testing.assert_allclose(own, target, rtol=1e-5, atol=1e-5)
