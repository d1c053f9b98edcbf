"""Config keys of AMD, all below ``MODEL.AMD``."""

from __future__ import annotations

from fastreid.config import CfgNode as CN


def add_amd_config(cfg: CN) -> None:
    """Add ``MODEL.AMD`` to the config; the defaults are the paper's values (sec. 4.2)."""
    node = cfg.MODEL.AMD = CN()
    # Attribute set of the interpreter: market1501, dukemtmc, demo, or the path of your own attributes.yaml
    # (docs/own_attributes.md); "" takes that of DATASETS.NAMES[0].
    node.ATTRIBUTES = ""

    # The target F: any trained model of the host, frozen. CONFIG is the config it was trained with (or the
    # config.yaml of its run), WEIGHTS its checkpoint. An earlier stage of the same run can train it, see
    # configs/demo/amd_r18_demo.yml.
    node.TARGET = CN()
    node.TARGET.CONFIG = ""
    node.TARGET.WEIGHTS = ""

    # The interpreter G (sec. 3.2). SHARED_STAGES: N, the number of stages it shares with the target, 1..5 (table 4).
    node.SHARED_STAGES = 3
    # ImageNet weights of the target's backbone, from which the interpreter's free stages start; "" takes those of the
    # target's config (its MODEL.BACKBONE.PRETRAIN), or the target's own trained stages if it names none.
    node.PRETRAIN_PATH = ""
    # Channel reduction of the attribute decomposition head: C -> C / REDUCTION -> M.
    node.REDUCTION = 8
    # PePU (eq. 2): kappa (0 means 1/M) and tau.
    node.KAPPA = 0.0
    node.TAU = 0.5
    # Initial bias of the head's last convolution (the paper gives none). With a negative one, attention is small
    # everywhere at first and grows where it helps.
    node.INIT_BIAS = 0.0

    # How PePU's output becomes attention (ours; the README has measured rows): "pepu", the paper's, leaves it as it is;
    # "shape" gives all maps the same mean over their positions; "shared" divides each position among the attributes.
    node.ATTENTION = "pepu"

    # Whether d^k is the distance of features "after" the target's neck, by which the target is scored, or "before" it,
    # as they are pooled.
    node.NECK_FEAT = "after"
    # Divide all features of an image by the norm of its full feature.
    node.NORMALIZE = False

    # Losses (eq. 6, 11): v, alpha, beta.
    node.NU = 0.5
    node.ALPHA = 10.0
    node.BETA = 50.0
    # Whether L_p1 and L_p2 use d^k computed from maps that all have the same mean over their positions, so that only
    # where the maps lie can tell the attributes apart (ours; the paper takes d^k as it is).
    node.PRIOR_BY_PLACE = False

    _add_test_keys(node)
    _add_report_keys(node)


def _add_test_keys(node: CN) -> None:
    # Evaluation: queries per chunk, and half-precision attribute features (half the memory).
    node.TEST = CN()
    node.TEST.CHUNK = 1024
    node.TEST.HALF = True
    # Re-weighting (eq. 12): gamma, 1 in the paper; 0 skips it.
    node.TEST.GAMMA = 0.0
    # Whether X-mAP includes images without attributes as if each attribute had its first value (no hat, no bag, ...),
    # as the authors' code treats the distractors of Market-1501.
    node.TEST.COUNT_UNLABELLED = False
    # Whether to score the interpreter also with A replaced by its mean over the positions, which shows how much the
    # positions contribute.
    node.TEST.SPATIAL_MEAN = False
    # Number of pairs of different persons on which maps are measured (deletion, insertion, true masks); 0 skips it.
    node.TEST.DELETION_PAIRS = 0
    # Number of images of a synthetic dataset that are drawn again with one attribute changed; 0 skips it.
    node.TEST.COUNTERFACTUALS = 0


def _add_report_keys(node: CN) -> None:
    # The report of explained pairs in OUTPUT_DIR/report: number of pairs (0: no report), and attributes drawn for each.
    node.REPORT = CN()
    node.REPORT.PAIRS = 0
    node.REPORT.TOP_K = 4
