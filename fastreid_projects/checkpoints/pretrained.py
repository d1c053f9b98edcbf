"""Pretrained weights of a backbone: read a PRETRAIN_PATH, and load the weights that belong to the backbone."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import torch

from fastreid_projects.checkpoints.matching import require_match, summarize_match
from fastreid_projects.checkpoints.weights import load_state_dict_file
from fastreid_projects.contract import FitsWeights, not_pretrained
from fastreid_projects.errors import WeightsError

logger = logging.getLogger(__name__)


def load_pretrained_file(path: str) -> dict[str, torch.Tensor]:
    """Read a PRETRAIN_PATH: the backbone of a checkpoint, or an ImageNet classifier.

    Args:
        path: a local file; see :func:`~fastreid_projects.checkpoints.weights.load_state_dict_file`.

    Returns:
        Names without the prefix ``backbone.`` and without the classifier ``fc``, with their tensors.

    Raises:
        WeightsError: the file is missing or unusable; the message names MODEL.BACKBONE.PRETRAIN_PATH.
    """
    try:
        state = load_state_dict_file(path)
    except WeightsError as error:
        raise WeightsError(f"MODEL.BACKBONE.PRETRAIN_PATH: {error}") from error
    for prefix in ("backbone.", "module.encoder.", "encoder.", "module."):
        if any(name.startswith(prefix) for name in state):
            state = {n.removeprefix(prefix): value for n, value in state.items() if n.startswith(prefix)}
            break
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def load_pretrained(backbone: torch.nn.Module, file_state: dict[str, torch.Tensor], path: str) -> None:
    """Load the weights of a file into a backbone if they belong to it.

    Non-local blocks (``NL_*``) and the backbone's ``not_pretrained`` (prefixes of parameters) are not counted, because
    ImageNet models do not have them.

    Args:
        backbone: a backbone of the host or of a plug-in.
        file_state: from :func:`load_pretrained_file`.
        path: the file, for error messages.

    Raises:
        WeightsError: less than 90 % of the backbone's weights match.
    """
    model_state = backbone.state_dict()
    fit = backbone.fit_weights if isinstance(backbone, FitsWeights) else partial(_fit_transformer, backbone)
    file_state = fit(file_state)
    own = ("NL_", *not_pretrained(backbone))
    counted = {name: value for name, value in model_state.items() if not name.startswith(own)}
    require_match(counted, file_state, path, key="MODEL.BACKBONE.PRETRAIN_PATH")
    logger.info("Pretrained model from %s. %s", path, summarize_match(model_state, file_state))
    fitting = {n: v for n, v in file_state.items() if n in model_state and model_state[n].shape == v.shape}
    backbone.load_state_dict(fitting, strict=False)


def _fit_transformer(backbone: torch.nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Fit patch and position embeddings to the input size of a transformer (``vision_transformer.py:368``)."""
    own = backbone.state_dict()
    state = dict(state)
    if "dist_token" in state and "pos_embed" in state and "dist_token" not in own:
        state["pos_embed"] = torch.cat((state["pos_embed"][:, :1], state["pos_embed"][:, 2:]), dim=1)
    patch, position = (state.get(name) for name in ("patch_embed.proj.weight", "pos_embed"))
    if patch is not None and patch.dim() == 2 and "patch_embed.proj.weight" in own:
        state["patch_embed.proj.weight"] = patch.reshape(own["patch_embed.proj.weight"].shape)
    if position is not None and "pos_embed" in own and position.shape != own["pos_embed"].shape:
        from fastreid.modeling.backbones.vision_transformer import resize_pos_embed

        embed: Any = backbone.patch_embed
        state["pos_embed"] = resize_pos_embed(position, own["pos_embed"], embed.num_y, embed.num_x)
    return state
