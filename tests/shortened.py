"""What makes seconds of a run of minutes, for tests of commands as they are typed."""

import json
from pathlib import Path

from fastreid_projects.config import load_config
from fastreid_projects.data.demo.build import MARKER, ensure_drawn
from fastreid_projects.data.demo.plan import SPECS, DemoSpec

_ANY = {
    "MODEL.DEVICE": "cpu",
    "DATALOADER.NUM_WORKERS": "0",
    "SOLVER.WARMUP_ITERS": "0",
    "SOLVER.AMP.ENABLED": "False",
}
_EACH_STAGE = {
    "INPUT.SIZE_TRAIN": "[64, 32]",
    "INPUT.SIZE_TEST": "[64, 32]",
    "SOLVER.MAX_EPOCH": "1",
    "SOLVER.STEPS": "()",
}
_AMD = {
    "MODEL.AMD.TEST.DELETION_PAIRS": "2",
    "MODEL.AMD.TEST.COUNTERFACTUALS": "0",
    "MODEL.AMD.REPORT.PAIRS": "2",
}
# A ResNet-50 from ImageNet's weights becomes a ResNet-18 from random ones, on a tiny Market-1501.
SMALL_MODEL = {
    "MODEL__BACKBONE__PRETRAIN": "False",
    "MODEL__BACKBONE__DEPTH": "18x",
    "MODEL__BACKBONE__FEAT_DIM": "512",
    "SOLVER__IMS_PER_BATCH": "8",
}


def shortened(config: str, **more: str) -> list[str]:
    """Return KEY VALUE pairs for one epoch of a config on small images.

    Args:
        config: its path or name.
        more: further keys, with two underscores for a point.
    """
    cfg = load_config(config)
    pairs = dict(_ANY)
    for prefix in ("", *(f"STAGES.{stage['NAME']}." for stage in cfg.STAGES if stage.get("CONFIG"))):
        pairs |= {f"{prefix}{key}": value for key, value in _EACH_STAGE.items()}
    pairs |= _AMD if cfg.MODEL.META_ARCHITECTURE == "AMD" else {}
    pairs |= {key.replace("__", "."): value for key, value in more.items()}
    return [word for pair in pairs.items() for word in pair]


def draw_few(root: Path, train_ids: int = 4, test_ids: int = 2) -> Path:
    """Draw a few people where the whole synthetic demo set is looked for, and call them complete; return ``root``."""
    folder = ensure_drawn(
        DemoSpec(train_ids=train_ids, test_ids=test_ids, distractors=2, junk=1), root, workers=1
    )
    images = json.loads((folder / MARKER).read_text())["images"]
    (folder / MARKER).write_text(json.dumps({**SPECS["A"].marker(), "images": images}))
    return root
