"""Config keys of SAL: ``MODEL.SAL`` and its two losses below ``MODEL.LOSSES``."""

from __future__ import annotations

from fastreid.config import CfgNode as CN


def add_sal_config(cfg: CN) -> None:
    """Add SAL's keys to the config; the defaults are the paper's values."""
    node = cfg.MODEL.SAL = CN()
    # Stage4 and stage5 (layer3, layer4) keep stage3's resolution by dilated convolutions (sec. 3.1); False: by strides.
    node.DILATED = True
    # Dilation of stage4, stage5 and stage6. The paper does not give the last one: 2 removes the gridding of 4.
    node.DILATION = (2, 4, 2)
    # Whether the first 3x3 convolution of stage4 and stage5 keeps the dilation of the stage before. Weights of the
    # plain ResNet then compute at every second position what they computed before; the paper dilates all convolutions.
    node.KEEP_FIRST = False
    # Stages whose maps the backbone returns (fig. 1), as a list; stage6 exists only if it is listed. A single map is
    # returned as a plain tensor, for any head.
    node.LEVELS = (4, 5, 6)
    # Whether to use a 3x3 stem with stride 1 and no pooling, for images of 32x32 (sec. 4.5).
    node.SMALL_STEM = False

    # SelfAttentionConstraint, L_sac (eq. 2), weight 1 in eq. 6.
    sac = cfg.MODEL.LOSSES.SAC = CN()
    sac.SCALE = 1.0
    # Modules whose maps are compared with the map of the last one; "backbone" stands for all levels that it returns.
    # For a plain ResNet: ("backbone.layer3", "backbone.layer4").
    sac.LAYERS = ("backbone",)

    # QuadrupletHardLoss, L_quad (eq. 5), weight 1 in eq. 6.
    quadruplet = cfg.MODEL.LOSSES.QUADRUPLET = CN()
    quadruplet.SCALE = 1.0
    # epsilon_1, the margin between the intra-class and the inter-class distance of the anchor x_i.
    quadruplet.MARGIN1 = 0.5
    # epsilon_2, the margin to the inter-class distance of x_k and x_h.
    quadruplet.MARGIN2 = 0.2
    # Whether to mine over the features of all processes.
    quadruplet.GATHER = False
