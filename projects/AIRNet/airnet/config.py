"""Config keys of AIR-Net, all below ``MODEL.AIRNET``."""

from __future__ import annotations

from fastreid.config import CfgNode as CN


def add_airnet_config(cfg: CN) -> None:
    """Add ``MODEL.AIRNET`` to the config; the defaults are the paper's full network on an IBN-ResNet-50."""
    node = cfg.MODEL.AIRNET = CN()
    # A list for each copy of the 5th stage, with the pooling layers of its representations: the paper's A_1 = GMP(X_a)
    # (eq. 2), and A_2 = GMP(X_i) and I (eq. 3). AttentionPooling is ABP, SoftmaxAttentionPooling the same with a
    # softmax over the positions, ContextMaxPool a global-context block followed by GMP; the host's layers work as well.
    node.BRANCHES = [["GlobalMaxPool"], ["GlobalMaxPool", "AttentionPooling"]]
    # Stages followed by a global-context block (sec. 4.2): ["layer2", "layer3"] with ResNet-50, none with IBN.
    node.CONTEXT_AFTER = []
