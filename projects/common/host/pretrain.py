"""Mends of how the host's backbones find and read ImageNet weights (``modeling/backbones/*.py``).

| host's defect                                                                 | where                     |
| ----------------------------------------------------------------------------- | ------------------------- |
| downloads with gdown, which is no dependency, imported even for a cached file | resnet.py:248 and alike   |
| PRETRAIN without a path fails with a bare FileNotFoundError                   | mobilenet.py:176 and alike |
| PRETRAIN_PATH expects another wrapper in each backbone                        | resnext.py:304 and alike  |
| PRETRAIN_PATH of another model is taken silently, the backbone stays random   | resnet.py:354 and alike   |
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from fastreid_projects.errors import WeightsError
from fastreid_projects.host.matching import require_match, summarize_match
from fastreid_projects.host.weights import load_state_dict_file

logger = logging.getLogger(__name__)

_BACKBONES = "fastreid.modeling.backbones"
_WITH_DOWNLOAD = ("resnet", "resnext", "osnet", "regnet.regnet", "regnet.effnet")
_IMPORTERS = (
    f"{_BACKBONES}.build",
    _BACKBONES,
    "fastreid.modeling",
    "fastreid.modeling.meta_arch.baseline",
    "fastreid.modeling.meta_arch.mgn",
)
_WAY_OUT = (
    "give a local file as MODEL.BACKBONE.PRETRAIN_PATH, or start from random weights with "
    "MODEL.BACKBONE.PRETRAIN False"
)


def mend_pretrain() -> None:
    """Mend the host's backbone builders once: no gdown, a checked PRETRAIN_PATH, clear errors."""
    build = importlib.import_module(f"{_BACKBONES}.build")
    if hasattr(build.build_backbone, "mended"):
        return
    for name in _WITH_DOWNLOAD:
        module: Any = importlib.import_module(f"{_BACKBONES}.{name}")
        module.init_pretrained_weights = _mended_download(module)
    mended = _mended_build_backbone(build.build_backbone)
    for name in _IMPORTERS:
        importlib.import_module(name).build_backbone = mended  # type: ignore[attr-defined]


def _mended_build_backbone(original: Callable[[Any], torch.nn.Module]) -> Callable[[Any], torch.nn.Module]:
    def build_backbone(cfg: Any) -> torch.nn.Module:
        """Build MODEL.BACKBONE.NAME, with its pretrained weights where MODEL.BACKBONE.PRETRAIN is set.

        Raises:
            WeightsError: the pretrained weights are missing, unusable, or belong to another backbone.
        """
        if not cfg.MODEL.BACKBONE.PRETRAIN:
            return original(cfg)
        path = cfg.MODEL.BACKBONE.PRETRAIN_PATH
        if not path:
            return _build_from_known_weights(original, cfg)
        file_state = load_pretrained_file(path)
        plain = cfg.clone()
        plain.defrost()
        plain.MODEL.BACKBONE.PRETRAIN = False
        backbone = original(plain)
        load_pretrained(backbone, file_state, path)
        return backbone

    build_backbone.mended = True  # type: ignore[attr-defined]
    return build_backbone


def _build_from_known_weights(original: Callable[[Any], torch.nn.Module], cfg: Any) -> torch.nn.Module:
    """Let the host's builder take the weights it knows an address for."""
    name, depth = cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH
    try:
        return original(cfg)
    except WeightsError:
        raise
    except FileNotFoundError as error:
        if error.filename:  # another file is missing, e.g. a YAML file of RegNet
            raise
        raise WeightsError(
            f"No pretrained weights are known for {name} of depth {depth}: {_WAY_OUT}."
        ) from error
    except OSError as error:  # urllib.error.URLError is one
        raise WeightsError(
            f"The pretrained weights of {name} of depth {depth} could not be loaded ({error}): {_WAY_OUT}."
        ) from error


def _mended_download(module: ModuleType) -> Callable[..., dict[str, torch.Tensor]]:
    def init_pretrained_weights(*arguments: Any) -> dict[str, torch.Tensor]:
        """Return the ImageNet weights of a key of ``model_urls``, cached or downloaded by the main process.

        Args:
            *arguments: ``(key)``, or ``(model, key)`` as OSNet's builder calls it.

        Raises:
            WeightsError: no weights are known for the key, or they cannot be downloaded or read.
        """
        from fastreid.utils import comm

        key = arguments[-1]
        url = module.model_urls.get(key)
        if url is None:
            raise WeightsError(f"No pretrained weights are known for the backbone '{key}': {_WAY_OUT}.")
        cached, failure = _cache_path(key, url), None
        if not os.path.exists(cached) and comm.is_main_process():
            try:
                _download(key, url, cached)
            except WeightsError as error:
                failure = error  # raised after the barrier, so that no process waits there for ever
        comm.synchronize()
        if failure:
            raise failure
        logger.info("Loading pretrained model from %s", cached)
        return load_state_dict_file(cached)

    return init_pretrained_weights


def _cache_path(key: str, url: str) -> str:
    """Return where the host keeps the file: ``$TORCH_HOME/checkpoints``."""
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    home = os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(cache, "torch")))
    name = f"{key}_imagenet.pth" if _is_drive(url) else url.split("/")[-1]
    return os.path.join(home, "checkpoints", name)


def _is_drive(url: str) -> bool:
    return "drive.google.com" in url


def _download(key: str, url: str, cached: str) -> None:
    if _is_drive(url):
        raise WeightsError(
            f"The pretrained weights of '{key}' lie on Google Drive ({url}): save them as '{cached}', "
            f"or {_WAY_OUT}."
        )
    logger.info("Downloading %s to %s", url, cached)
    try:
        os.makedirs(os.path.dirname(cached), exist_ok=True)
        torch.hub.download_url_to_file(url, cached, progress=False)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"The pretrained weights of '{key}' could not be downloaded from {url} ({error}): {_WAY_OUT}."
        ) from error


def load_pretrained_file(path: str) -> dict[str, torch.Tensor]:
    """Read a PRETRAIN_PATH: the backbone's weights of a checkpoint, or the weights of an ImageNet classifier.

    Args:
        path: a local file; see :func:`~fastreid_projects.host.weights.load_state_dict_file`.

    Returns:
        names without the prefix ``backbone.`` and without the classifier ``fc``, with their tensors.

    Raises:
        WeightsError: the file is missing or unusable; names MODEL.BACKBONE.PRETRAIN_PATH.
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
    """Load a file's weights into a backbone, if they are that backbone's.

    Non-local blocks (``NL_*``) and what the backbone's ``not_pretrained`` names (prefixes of parameters) are not
    counted: no ImageNet model has them.

    Args:
        backbone: one of the host's, or of a plug-in.
        file_state: from :func:`load_pretrained_file`.
        path: the file, for messages.

    Raises:
        WeightsError: less than 90 % of the backbone's weights match.
    """
    model_state = backbone.state_dict()
    file_state = _fit_transformer(backbone, file_state)
    own = ("NL_", *getattr(backbone, "not_pretrained", ()))
    counted = {name: value for name, value in model_state.items() if not name.startswith(own)}
    require_match(counted, file_state, path, key="MODEL.BACKBONE.PRETRAIN_PATH")
    logger.info("Pretrained model from %s. %s", path, summarize_match(model_state, file_state))
    fitting = {n: v for n, v in file_state.items() if n in model_state and model_state[n].shape == v.shape}
    backbone.load_state_dict(fitting, strict=False)


def _fit_transformer(backbone: torch.nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Bring patch and position embeddings to a transformer's input size (``vision_transformer.py:368``)."""
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
