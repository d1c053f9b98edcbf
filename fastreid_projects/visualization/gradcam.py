"""Grad-CAM (Selvaraju et al. 2017) for any architecture, by captum: for one image, or for the similarity of two.

| letter | meaning                        |
| ------ | ------------------------------ |
| N      | images                         |
| h, w   | size of a layer's feature map  |
| D      | size of the model's feature    |

A score, one number per image, is computed from the features that the model returns in evaluation; Grad-CAM shows which
cells of a layer's map increase it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastreid_projects.contract import HasMaps, compared_model
from fastreid_projects.errors import ConfigError
from fastreid_projects.extras import need
from fastreid_projects.modeling.modes import evaluating
from fastreid_projects.visualization.tokens import (
    orders_channels_last,
    patch_grid,
    token_gradcam,
    token_layer,
)

Score = Callable[[Tensor], Tensor]
Maps = dict[str, Tensor]


def strength(part: slice = slice(None)) -> Score:
    """Return a score that shows where the feature comes from: half its squared length, or that of a part of it.

    Args:
        part: the part of the D entries, e.g. that of one body part or branch.
    """
    return lambda features: features[:, part].square().sum(dim=1) / 2


def similarity_to(others: Tensor) -> Score:
    """Return a score: the cosine similarity of the i-th feature with the i-th of others (N, D), or with (1, D)."""
    others = others.detach()
    return lambda features: F.cosine_similarity(features, others, dim=1)


def identity_logit(model: nn.Module, identities: Tensor) -> Score:
    """Return a score: the classifier's logit of a training identity, as in Grad-CAM for classifiers.

    Args:
        model: an architecture with a single host head that has a weight (Baseline: BoT, SBS, AGW).
        identities: (N,) training labels, 0-based.

    Raises:
        ConfigError: the model has no such classifier, or not that many identities.
    """
    heads = dict(model.named_children()).get("heads")
    weight = dict(heads.named_parameters(recurse=False)).get("weight") if heads is not None else None
    if weight is None:
        raise ConfigError(
            f"{type(model).__name__} has no single classifier on its feature; use the feature's strength instead"
        )
    if int(identities.max()) >= len(weight) or int(identities.min()) < 0:
        raise ConfigError(f"training identities are 0..{len(weight) - 1}, not {identities.tolist()}")
    chosen = weight.detach()[identities.to(weight.device)]
    return lambda features: (features * chosen).sum(dim=1)


def map_layers(model: Any) -> dict[str, nn.Module]:
    """Return the modules whose outputs are a model's last feature maps, by name.

    An architecture or its backbone can name its own with a method ``map_layers()``; otherwise they are the branches b1,
    b2, b3 (the host's MGN), a list of modules ``branches``, or the backbone.

    Raises:
        ConfigError: the model has none of these.
    """
    children = dict(model.named_children())
    backbone, branches = children.get("backbone"), children.get("branches")
    for owner in (model, backbone):
        if isinstance(owner, HasMaps):
            return owner.map_layers()
    if "b1" in children:
        return {name: children[name] for name in ("b1", "b2", "b3") if name in children}
    if isinstance(branches, nn.ModuleList):
        return {f"branch{i}": branch for i, branch in enumerate(branches, start=1)}
    if backbone is not None:
        patches = token_layer(backbone)
        return {"backbone": backbone} if patches is None else {"patches": patches}
    raise ConfigError(
        f"{type(model).__name__} has no backbone whose map could be shown; name one of its layers"
    )


def named_layer(model: nn.Module, name: str) -> dict[str, nn.Module]:
    """Return the module of a dotted name, e.g. ``"backbone.layer3"``.

    Raises:
        ConfigError: there is no such module.
    """
    try:
        return {name: model.get_submodule(name)}
    except AttributeError:
        children = ", ".join(child for child, _ in model.named_children())
        raise ConfigError(
            f"{type(model).__name__} has no layer '{name}'; names start with {children}"
        ) from None


def gradcam(
    model: nn.Module,
    images: Tensor,
    score: Score | None = None,
    layers: Mapping[str, nn.Module] | None = None,
) -> Maps:
    """Compute Grad-CAM of each image in evaluation mode; the model's mode is restored afterwards.

    Args:
        model: images (N, 3, H, W) in 0..255 -> features (N, D) in evaluation.
        images: RGB, 0..255, float.
        score: features (N, D) -> (N,); :func:`strength` of the whole feature by default.
        layers: name -> module; :func:`map_layers` by default.

    Returns:
        For each layer a map (N, h, w) >= 0, float32 on the CPU.

    Raises:
        ConfigError: a layer does not return a map, or the model does not return features.
    """
    score, model = score or strength(), compared_model(model)

    def scores(batch: Tensor) -> Tensor:
        features = model(batch)
        if not isinstance(features, Tensor) or features.dim() != 2:
            raise ConfigError(
                f"{type(model).__name__} does not return features (images, size) that Grad-CAM could score"
            )
        return score(features)

    found = {}
    device = next(model.parameters()).device
    with evaluating(model), torch.enable_grad():
        for name, layer in (layers or map_layers(model)).items():
            found[name] = _map_of(model, scores, name, _last(layer), images.to(device))
    return found


def _map_of(model: nn.Module, scores: Score, name: str, layer: nn.Module, images: Tensor) -> Tensor:
    """Compute Grad-CAM of one layer, (N, h, w): for maps (N, C, h, w) by captum, for tokens (N, T, C) on patches."""
    shape = _output_shape(model, layer, images)
    kind = type(model).__name__
    if shape is None:
        raise ConfigError(f"the layer '{name}' of {kind} is not used in evaluation")
    if len(shape) == 3:
        grid = patch_grid(model, shape[1], (images.shape[2], images.shape[3]))
        maps = token_gradcam(scores, layer, images, grid)
    elif len(shape) == 4 and orders_channels_last(model, layer):
        maps = token_gradcam(scores, layer, images, (shape[1], shape[2]))
    elif len(shape) == 4 and shape[2] * shape[3] > 1:
        captum = need("captum.attr", "gradcam", "Grad-CAM")
        maps = captum.LayerGradCam(scores, layer).attribute(images, relu_attributions=True)
    else:
        what = "a map of one cell" if len(shape) == 4 else "no feature map (N, C, h, w)"
        raise ConfigError(
            f"the layer '{name}' of {kind} returns {what}, which does not show any place; name another layer"
        )
    return maps.detach().squeeze(1).float().cpu()


@torch.no_grad()
def _output_shape(model: nn.Module, layer: nn.Module, images: Tensor) -> tuple[int, ...] | None:
    """Return the shape of a layer's output; () if it is not a tensor, None if the layer is not called."""
    shapes: list[tuple[int, ...]] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        shapes.append(tuple(output.shape) if isinstance(output, Tensor) else ())

    handle = layer.register_forward_hook(note)
    try:
        model(images[:1])
    finally:
        handle.remove()
    return shapes[0] if shapes else None


def gradcam_pair(
    model: nn.Module, first: Tensor, second: Tensor, layers: Mapping[str, nn.Module] | None = None
) -> tuple[Tensor, Maps, Maps]:
    """Compute where two images are alike: Grad-CAM of their cosine similarity, on each of them.

    Args:
        model: as in :func:`gradcam`.
        first: (N, 3, H, W).
        second: (N, 3, H, W), compared image by image.
        layers: as in :func:`gradcam`.

    Returns:
        The similarities (N,), and the maps of the first and of the second images.
    """
    model = compared_model(model)
    device = next(model.parameters()).device
    with evaluating(model), torch.no_grad():
        features = [model(images.to(device)) for images in (first, second)]
    similarity = F.cosine_similarity(features[0], features[1], dim=1)
    return (
        similarity.float().cpu(),
        gradcam(model, first, similarity_to(features[1]), layers),
        gradcam(model, second, similarity_to(features[0]), layers),
    )


def _last(layer: nn.Module) -> nn.Module:
    """Return the last module of a sequence, with the same output: the host's ResNet calls its stages block by block."""
    while isinstance(layer, nn.Sequential) and len(layer):
        layer = layer[-1]
    return layer
