"""Config keys of AMD, all below ``MODEL.AMD``."""

from __future__ import annotations

from fastreid.config import CfgNode as CN


def add_amd_config(cfg: CN) -> None:
    """Add ``MODEL.AMD`` to the config; the defaults are the paper's values (sec. 4.2)."""
    node = cfg.MODEL.AMD = CN()
    # Attribute set of the interpreter: "" takes that of DATASETS.NAMES[0]; or market1501, dukemtmc, demo, or the path
    # of your own attributes.yaml (docs/own_attributes.md).
    node.ATTRIBUTES = ""

    # The target F: any trained model of the host, frozen. CONFIG is the yaml it was trained with (or the
    # config.yaml of its run); WEIGHTS its checkpoint. A stage before the interpreter's can train it, see
    # configs/demo/amd_r18_demo.yml.
    node.TARGET = CN()
    node.TARGET.CONFIG = ""
    node.TARGET.WEIGHTS = ""

    # The interpreter G (sec. 3.2). SHARED_STAGES: N, stages taken over from the target, 1..5 (table 4).
    node.SHARED_STAGES = 3
    # ImageNet weights of the target's backbone for the interpreter's free stages; "" takes those of the target's config
    # (its MODEL.BACKBONE.PRETRAIN), and starts from the target's own stages where it has none.
    node.PRETRAIN_PATH = ""
    # Channel reduction of the attribute decomposition head: C -> C / REDUCTION -> M.
    node.REDUCTION = 8
    # PePU (eq. 2): kappa, 0 means 1/M; tau.
    node.KAPPA = 0.0
    node.TAU = 0.5
    # Where the head's last bias starts (the paper is silent): below 0, attention starts dark and is lit where it helps.
    node.INIT_BIAS = 0.0

    # What becomes of PePU's output (ours; the README has measured rows): "pepu", the paper's, leaves it as it is;
    # "shape" gives all maps the same mean over their positions; "shared" divides each position among the attributes.
    node.ATTENTION = "pepu"

    # d^k of features after or before the target's neck, as the target is scored or as it is pooled.
    node.NECK_FEAT = "after"
    # Divide all features of an image by the norm of its full feature.
    node.NORMALIZE = False

    # Losses (eq. 6, 11): v, alpha, beta.
    node.NU = 0.5
    node.ALPHA = 10.0
    node.BETA = 50.0
    # Whether L_p1 and L_p2 take d^k of maps of the same mean over their positions, so that place has to tell the
    # attributes apart (ours; the paper takes d^k as it is).
    node.PRIOR_BY_PLACE = False

    _add_test_keys(node)
    _add_report_keys(node)


def _add_test_keys(node: CN) -> None:
    # Evaluation: queries per chunk, and half-precision attribute features (half the memory).
    node.TEST = CN()
    node.TEST.CHUNK = 1024
    node.TEST.HALF = True
    # Re-weighting (eq. 12): gamma, 1 in the paper; 0: not measured.
    node.TEST.GAMMA = 0.0
    # X-mAP also of images without attributes, as if each attribute had its first value (no hat, no bag, ...): so the
    # authors' code takes Market-1501's distractors.
    node.TEST.COUNT_UNLABELLED = False
    # Whether A replaced by its mean over the positions is scored beside it: what place itself contributes.
    node.TEST.SPATIAL_MEAN = False
    # Pairs of different persons on which maps are measured: deletion, insertion, and true masks; 0: not measured.
    node.TEST.DELETION_PAIRS = 0
    # Images that are drawn again with one attribute changed, on datasets that are drawn; 0: not measured.
    node.TEST.COUNTERFACTUALS = 0


def _add_report_keys(node: CN) -> None:
    # The report of explained pairs in OUTPUT_DIR/report: number of pairs (0: none) and of heat maps a pair.
    node.REPORT = CN()
    node.REPORT.PAIRS = 0
    node.REPORT.TOP_K = 4
