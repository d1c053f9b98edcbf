"""Models of timm as backbones: normalised images -> one feature map (N, C, h, w), with timm's names of the layers.

| letter | meaning                                                    |
| ------ | ---------------------------------------------------------- |
| N      | images                                                     |
| C      | channels of the map, ``MODEL.BACKBONE.FEAT_DIM``           |
| h, w   | size of the map: number of patches along an image's sides  |
| T      | tokens: class token and registers, then h x w patches      |

A model becomes an instance of one of these classes and remains one of timm's class, so that its layers keep their
names, which for ResNets are those of torchvision and FastReID.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from fastreid_projects.errors import WeightsError

State = dict[str, Tensor]


class TimmBackbone(nn.Module):
    """The base of all backbones of timm; the attributes are set when the model is built.

    Attributes:
        convert: timm's own conversion of a weights file to the model's names and size; None if it has none.
    """

    convert: Callable[[State, nn.Module], State] | None
    forward_features: Callable[[Tensor], Tensor]
    group_matcher: Callable[..., Any]

    def fit_weights(self, state: State) -> State:
        """Convert a file's weights to the model's names, and position embeddings to its image size."""
        return state if self.convert is None else dict(self.convert(state, self))

    def layer_numbers(self) -> dict[str, int]:
        """Return the depth of each parameter as timm counts it: 0 for the stem, the highest for the last layer."""
        helpers = importlib.import_module("timm.models")
        return dict(helpers.group_parameters(self, self.group_matcher(coarse=False), reverse=True))


class MapBackbone(TimmBackbone):
    """A model whose output is a map: convolutional networks and hierarchical transformers.

    Attributes:
        channels_last: whether its layers return (N, h, w, C), as in Swin.
    """

    channels_last: bool

    def forward(self, x: Tensor) -> Tensor:
        """Return the map (N, C, h, w) of normalised images (N, 3, H, W)."""
        maps = self.forward_features(x)
        return maps.permute(0, 3, 1, 2) if self.channels_last else maps


class StagedBackbone(MapBackbone):
    """A model that can be cut into five stages, as AMD needs.

    Attributes:
        groups: dotted names of the modules of each stage, in the order of their calls.
    """

    groups: Sequence[Sequence[str]]

    def five_stages(self) -> list[nn.Module] | None:
        """Return five modules that compute the backbone one after the other and share its parameters."""
        stages = [nn.Sequential(*map(self.get_submodule, names)) for names in self.groups]
        if not self.channels_last:
            return list(stages)
        return [ChannelsLast(stage, of_images=i == 0) for i, stage in enumerate(stages)]


class ChannelsLast(nn.Module):
    """A stage with maps (N, h, w, C) between its layers, wrapped so that its input and output are (N, C, h, w).

    Args:
        stage: the layers.
        of_images: whether the input is images (N, 3, H, W), which are not permuted.
    """

    def __init__(self, stage: nn.Module, *, of_images: bool) -> None:
        super().__init__()
        self.stage, self.of_images = stage, of_images

    def forward(self, x: Tensor) -> Tensor:
        """Apply the stage: (N, C, h, w) -> (N, C, h, w)."""
        return self.stage(x if self.of_images else x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PatchBackbone(TimmBackbone):
    """A vision transformer that returns its patches after the last norm as a map, or its class token as a 1x1 map.

    Attributes:
        class_token: whether to return the class token.
        grid: h, w.
    """

    class_token: bool
    grid: tuple[int, int]
    num_prefix_tokens: int
    fc_norm: nn.Module

    def fit_weights(self, state: State) -> State:
        """Resample the position embeddings of images that are not square; timm assumes that all files are for squares.

        Raises:
            WeightsError: the file is for images of other proportions than this model's.
        """
        own, found = getattr(self, "pos_embed", None), state.get("pos_embed")
        if own is not None and found is not None and found.shape != own.shape:
            prefix = 0 if self.no_embed_class else self.num_prefix_tokens
            old = _old_grid(found.shape[1] - prefix, self.grid)
            resample = importlib.import_module("timm.layers").resample_abs_pos_embed
            resampled = resample(found, list(self.grid), list(old), num_prefix_tokens=prefix)
            state = {**state, "pos_embed": resampled}
        return super().fit_weights(state)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, h, w) or (N, C, 1, 1) of normalised images (N, 3, H, W), which must have the built size."""
        tokens = self.forward_features(x)
        if hasattr(self, "fc_norm"):  # the last norm if timm pools before it, else the identity
            tokens = self.fc_norm(tokens)
        if self.class_token:
            return tokens[:, 0, :, None, None]
        height, width = self.grid
        patches = tokens[:, -height * width :]
        return patches.transpose(1, 2).unflatten(2, (height, width))

    def map_layers(self) -> dict[str, nn.Module]:
        """Return the last layer in which patches contribute to the feature."""
        blocks: Any = self.blocks
        return {"patches": blocks[-1].norm1 if self.class_token else self}


def _old_grid(patches: int, grid: tuple[int, int]) -> tuple[int, int]:
    """Return the grid of a file's positions: a square, or else one with the proportions of the model's grid."""
    for height in (math.isqrt(patches), round(math.sqrt(patches * grid[0] / grid[1]))):
        if (
            height
            and patches % height == 0
            and patches // height in (height, round(height * grid[1] / grid[0]))
        ):
            return height, patches // height
    raise WeightsError(
        f"MODEL.BACKBONE.PRETRAIN_PATH: its {patches} positions form neither a square nor a grid with the proportions "
        f"of this model's {grid[0]} x {grid[1]} patches: use weights for another image size"
    )


def derive(model: nn.Module, kind: type[TimmBackbone], **attributes: Any) -> Any:
    """Turn a model of timm into an instance of one of the classes above, in place.

    Args:
        model: the model that timm built.
        kind: the class.
        **attributes: the attributes in the docstring of the class.

    Returns:
        The same model.
    """
    model.__class__ = type(type(model).__name__, (kind, type(model)), {})
    for name, value in attributes.items():
        setattr(model, name, value)
    return model
