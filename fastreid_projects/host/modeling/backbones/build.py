"""Patches of how the host's backbones find and read ImageNet weights (``modeling/backbones/*.py``).

| host's defect                                                                 | where                     |
| ----------------------------------------------------------------------------- | ------------------------- |
| downloads with gdown, an undeclared dependency, imported even for a cached file | resnet.py:248 and others  |
| PRETRAIN without a path fails with a bare FileNotFoundError                   | mobilenet.py:176 and others |
| PRETRAIN_PATH expects another wrapper in each backbone                        | resnext.py:304 and others |
| PRETRAIN_PATH of another model is accepted silently, the backbone stays random | resnet.py:354 and others  |
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from fastreid_projects.checkpoints.pretrained import load_pretrained, load_pretrained_file
from fastreid_projects.checkpoints.weights import load_state_dict_file
from fastreid_projects.contract_checks import check_offers
from fastreid_projects.errors import WeightsError
from fastreid_projects.host_import import rebind

logger = logging.getLogger(__name__)

_BACKBONES = "fastreid.modeling.backbones"
_WITH_DOWNLOAD = ("resnet", "resnext", "osnet", "regnet.regnet", "regnet.effnet")
_WAY_OUT = (
    "name a local file as MODEL.BACKBONE.PRETRAIN_PATH, or start from random weights with "
    "MODEL.BACKBONE.PRETRAIN False"
)


def patch_pretrain() -> None:
    """Patch the host's backbone builders once: no gdown, a checked PRETRAIN_PATH, clear errors."""
    build = importlib.import_module(f"{_BACKBONES}.build")
    if hasattr(build.build_backbone, "patched"):
        return
    for name in _WITH_DOWNLOAD:
        module: Any = importlib.import_module(f"{_BACKBONES}.{name}")
        module.init_pretrained_weights = _patched_download(module)
    rebind(build.build_backbone, _patched_build_backbone(build.build_backbone))


def _patched_build_backbone(original: Callable[[Any], torch.nn.Module]) -> Callable[[Any], torch.nn.Module]:
    def build_backbone(cfg: Any) -> torch.nn.Module:
        """Build MODEL.BACKBONE.NAME, with pretrained weights if MODEL.BACKBONE.PRETRAIN is set.

        Raises:
            WeightsError: the pretrained weights are missing, unusable, or belong to another backbone.
            TypeError: the backbone does not offer what it has to, see :mod:`fastreid_projects.contract`.
        """
        if not cfg.MODEL.BACKBONE.PRETRAIN:
            return _checked(original(cfg), cfg.MODEL.BACKBONE.NAME)
        path = cfg.MODEL.BACKBONE.PRETRAIN_PATH
        if not path:
            return _checked(_build_from_known_weights(original, cfg), cfg.MODEL.BACKBONE.NAME)
        file_state = load_pretrained_file(path)
        plain = cfg.clone()
        plain.defrost()
        plain.MODEL.BACKBONE.PRETRAIN = False
        backbone = original(plain)
        load_pretrained(_checked(backbone, cfg.MODEL.BACKBONE.NAME), file_state, path)
        return backbone

    build_backbone.patched = True  # type: ignore[attr-defined]
    return build_backbone


def _checked(backbone: torch.nn.Module, name: str) -> torch.nn.Module:
    """Check a backbone and return it; its class is first seen here, because only a function is registered."""
    check_offers("backbone", name, type(backbone))
    return backbone


def _build_from_known_weights(original: Callable[[Any], torch.nn.Module], cfg: Any) -> torch.nn.Module:
    """Let the host's builder load the weights for which it knows a URL."""
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


def _patched_download(module: ModuleType) -> Callable[..., dict[str, torch.Tensor]]:
    def init_pretrained_weights(*arguments: Any) -> dict[str, torch.Tensor]:
        """Return the ImageNet weights of a key of ``model_urls``, cached or downloaded by the main process.

        Args:
            *arguments: ``(key)``, or ``(model, key)`` as the builder of OSNet calls it.

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
                failure = error  # raised after the barrier, so that no process waits there forever
        comm.synchronize()
        if failure:
            raise failure
        logger.info("Loading pretrained model from %s", cached)
        return load_state_dict_file(cached)

    return init_pretrained_weights


def _cache_path(key: str, url: str) -> str:
    """Return the path at which the host caches the file: ``$TORCH_HOME/checkpoints``."""
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    home = os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(cache, "torch")))
    name = f"{key}_imagenet.pth" if _is_drive(url) else url.split("/")[-1]
    return os.path.join(home, "checkpoints", name)


def _is_drive(url: str) -> bool:
    return "drive.google.com" in url


def _download(key: str, url: str, cached: str) -> None:
    if _is_drive(url):
        raise WeightsError(
            f"The pretrained weights of '{key}' are on Google Drive ({url}): save them as '{cached}', "
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
