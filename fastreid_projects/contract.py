"""Optional features of an architecture, backbone, head, loss or dataset, beyond what FastReID requires of it.

The core asks ``isinstance(thing, Protocol)`` and never looks up an attribute by its name, so that an editor shows who
offers what. A class that offers one of these is checked when it is registered
(:mod:`fastreid_projects.contract_checks`). Hooks of an architecture without ``self`` are static methods.

| letter | meaning                                    |
| ------ | ------------------------------------------ |
| N      | images                                     |
| C      | channels of a branch's last feature map    |
| H x W  | size of that map                           |
| D      | size of a feature                          |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

# --- Architectures: their config and their data


@runtime_checkable
class ChecksConfig(Protocol):
    """An architecture that checks its own config keys before anything is built."""

    @staticmethod
    def check_config(cfg: Any) -> None:
        """Raise a ConfigError that names the key, its value and a way out."""


@runtime_checkable
class HasTestConfig(Protocol):
    """An architecture that is built smaller when it is not trained."""

    @staticmethod
    def test_config(cfg: Any) -> Any:
        """Return the config of the model without the parts that only training needs; do not change the given config."""


@runtime_checkable
class KnowsAuthors(Protocol):
    """An architecture that reads the checkpoints of its authors' network."""

    @staticmethod
    def from_authors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights under the architecture's names; entries that it does not know keep their names."""


class Source(NamedTuple):
    """A dataset that was opened, and the images that are used.

    Attributes:
        name: the registered name of the dataset.
        dataset: the opened dataset.
        items: (path, identity, camera) of the images that are used.
    """

    name: str
    dataset: Any
    items: Sequence[tuple[Any, ...]]


# Maps the sources and the host's transforms to a dataset for the host's loaders.
DatasetMaker = Callable[[Sequence[Source], Any], Any]


@runtime_checkable
class HasDataset(Protocol):
    """An architecture whose batches hold more than those of the host."""

    @staticmethod
    def own_dataset(cfg: Any, is_train: bool) -> DatasetMaker | None:
        """Return the function that makes its dataset, or None to use the host's."""


@runtime_checkable
class HasEvaluator(Protocol):
    """An architecture that is not scored by the host's ReID evaluator."""

    def build_evaluator(self, cfg: Any, dataset_name: str, loader: Any, num_query: int) -> Any:
        """Return a ``DatasetEvaluator`` for a test set; its optional ``counts`` (name -> int) go into run.json."""


@runtime_checkable
class CountsItems(Protocol):
    """An evaluator that counts the queries, images and identities behind its scores."""

    counts: dict[str, Any]


# --- Architectures and backbones: their weights


@runtime_checkable
class AddsLayers(Protocol):
    """An architecture or a backbone with layers that pretrained models do not have.

    Attributes:
        not_pretrained: the prefixes of these layers' parameters, e.g. ``("layer5.",)``.
    """

    not_pretrained: tuple[str, ...]


@runtime_checkable
class MovesWithoutGradient(Protocol):
    """A module whose parameters are not moved by the optimizer, such as a teacher that is a running mean.

    Attributes:
        moves_without_gradient: True; the check that all weights move then skips it.
    """

    moves_without_gradient: bool


@runtime_checkable
class CutsItself(Protocol):
    """A backbone that says how to cut it into five stages, if that cannot be seen from its layers."""

    def five_stages(self) -> list[nn.Module] | None:
        """Return modules that together do what the backbone does, with all its levels; None if it cannot be cut."""


@runtime_checkable
class FitsWeights(Protocol):
    """A backbone that reads pretrained weights with other names, or for another image size."""

    def fit_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a file's weights under the backbone's names and in its sizes; unknown entries are kept."""


@runtime_checkable
class NumbersLayers(Protocol):
    """A backbone that numbers the layers of its parameters by depth, for ``SOLVER.LAYER_DECAY``."""

    def layer_numbers(self) -> dict[str, int]:
        """Return parameter name -> number of its layer, from 0 for the stem to the highest for the last layer."""


@runtime_checkable
class OrdersChannels(Protocol):
    """A backbone that says in which order its layers have the axes of a map.

    Attributes:
        channels_last: whether maps inside it are (N, H, W, C).
    """

    channels_last: bool


# --- Architectures: what they return, and what is shown of it


@runtime_checkable
class DescribesOutput(Protocol):
    """An architecture that returns something other than one feature (N, D) for each image.

    Attributes:
        output_kind: ``"features"``, which are compared by distance, or ``"logits"``, one for each class.
        output_names: the names along axis 1 of (N, names, D); () for (N, D).
    """

    @property
    def output_kind(self) -> str: ...

    @property
    def output_names(self) -> Sequence[str]: ...


@runtime_checkable
class WrapsModel(Protocol):
    """An architecture around the model whose features are compared, such as an interpreter around its target."""

    @property
    def compared_model(self) -> nn.Module:
        """The inner model, which takes the same images and returns features (N, D)."""


@runtime_checkable
class HasMaps(Protocol):
    """An architecture or a backbone that says which modules give its last maps."""

    def map_layers(self) -> dict[str, nn.Module]:
        """Return name -> module whose output is a map (N, C, H, W)."""


class Part(NamedTuple):
    """The part of the feature that comes from one branch.

    Attributes:
        layer: the module whose output is the branch's last map.
        numbers: the positions of the branch among the D numbers.
    """

    layer: nn.Module
    numbers: slice


@runtime_checkable
class HasParts(Protocol):
    """An architecture whose feature is composed of branches."""

    def saliency_parts(self) -> dict[str, Part]:
        """Return name -> the branch's map and its numbers in the feature."""


class Branch(NamedTuple):
    """One pooled part of a model's feature.

    Attributes:
        features: the whole last map of the branch, (N, C, H, W).
        pool: the pooling, (N, C, H, W) -> (N, C, 1, 1).
        neck: the layers after it, (N, C, 1, 1) -> (N, D) or (N, D, 1, 1).
        stripe: (i, n): the i-th of n horizontal stripes of the map; (0, 1) is the whole map.
    """

    features: Tensor
    pool: nn.Module
    neck: nn.Module
    stripe: tuple[int, int] = (0, 1)

    def cut(self, maps: Tensor) -> Tensor:
        """Return the branch's stripe of maps (N, *, H, W)."""
        index, count = self.stripe
        return maps if count == 1 else torch.chunk(maps, count, dim=2)[index]

    def pooled(self) -> Tensor:
        """Return the feature before the neck, (N, C, 1, 1)."""
        return self.pool(self.cut(self.features))

    def embedding(self) -> Tensor:
        """Return the feature after the neck, (N, D): this branch's part of the model's output in evaluation."""
        return self.neck(self.pooled()).flatten(1)


@runtime_checkable
class Explainable(Protocol):
    """An architecture whose feature consists of pooled branches, so that AMD can explain it."""

    def explained_stages(self) -> list[nn.Module]:
        """Return five modules from normalised images to the (first) last map; they share the model's parameters."""

    def explained_branches(self, maps: Sequence[Tensor]) -> list[Branch]:
        """Return the branches in the order of the feature, from the maps after the five stages, in evaluation mode."""


# --- Heads


@runtime_checkable
class BelongsTo(Protocol):
    """A head that only one architecture can use.

    Attributes:
        architecture: the name of that ``MODEL.META_ARCHITECTURE``.
    """

    architecture: str


@runtime_checkable
class TakesLevels(Protocol):
    """A head that pools several maps of a backbone.

    Attributes:
        takes_levels: True.
    """

    takes_levels: bool


# --- Losses


class Loss(Protocol):
    """A class that :func:`fastreid_projects.losses.registry.register_loss` registers.

    Attributes:
        inputs: the kind of its first argument: ``"features"`` (N, D), ``"logits"`` (N, classes), or its own name for
            something that only the architecture offering it knows.
        config_node: its node below ``MODEL.LOSSES`` (which has a ``SCALE``), or "" for none.
    """

    inputs: ClassVar[str]
    config_node: ClassVar[str]

    @classmethod
    def from_config(cls, cfg: Any) -> nn.Module:
        """Build the loss from its config node."""

    def forward(self, inputs: Any, labels: Tensor) -> Tensor:
        """Return a scalar; zero with the graph kept if no pair counts."""


# --- Datasets: known of the class before it is opened


@runtime_checkable
class AsksWithSeveral(Protocol):
    """A dataset whose queries are averages of several images of one person and camera.

    Attributes:
        multi_query: True.
    """

    multi_query: bool


@runtime_checkable
class DrawsGallery(Protocol):
    """A dataset that draws one image of each identity for its gallery; its constructor takes ``split_seed``.

    Attributes:
        draws_gallery: True.
    """

    draws_gallery: bool


@runtime_checkable
class NamesPeople(Protocol):
    """A dataset with a name, like FastReID's: sets with the same ``dataset_name`` number their people alike.

    Attributes:
        dataset_name: the name.
    """

    dataset_name: str


@runtime_checkable
class SharesPeople(Protocol):
    """A dataset that shows the people of another one, with the same numbers.

    Attributes:
        people: the registered name of the other dataset.
    """

    people: str


@runtime_checkable
class HasAttributes(Protocol):
    """A dataset with attributes, by which AMD can explain distances; both methods return None if it has none."""

    @classmethod
    def attribute_set_below(cls, root: str) -> Any:
        """Return its :class:`~fastreid_projects.data.attributes.AttributeSet` of M, before it is opened."""

    def attribute_labels(self, items: Sequence[Any]) -> Any:
        """Return (that set, int8 (len(items), M) of 0, 1 or -1 (unknown)) for items of an opened dataset."""


@runtime_checkable
class KnowsPixels(Protocol):
    """A dataset that knows where in an image each attribute is visible."""

    @staticmethod
    def attribute_masks(image_path: str) -> Any:
        """Return bool (M, H, W): the pixels that show each attribute of the dataset."""


@runtime_checkable
class ChangesAttributes(Protocol):
    """A dataset that can show a person again with one attribute changed."""

    @classmethod
    def counterfactuals(cls, paths: Sequence[str], number: int) -> Iterable[Any]:
        """Yield up to ``number`` pairs of an image and its changed twin."""


# --- Datasets: known of an opened one


@runtime_checkable
class TrainsOnly(Protocol):
    """A dataset without queries and gallery.

    Attributes:
        trains_only: True.
    """

    trains_only: bool


@runtime_checkable
class CountsJunk(Protocol):
    """A dataset that left out test images because they do not show an identity that counts.

    Attributes:
        junk: the number of these images.
    """

    junk: int


def compared_model(model: nn.Module) -> nn.Module:
    """Return the model whose features are compared: the inner model if the architecture wraps one."""
    children = dict(model.named_children())
    if "compared_model" in children:  # which isinstance no longer finds since Python 3.12
        return children["compared_model"]
    return model.compared_model if isinstance(model, WrapsModel) else model


def output_kind(model: nn.Module) -> str:
    """Return ``"features"`` unless the model says otherwise."""
    return model.output_kind if isinstance(model, DescribesOutput) else "features"


def not_pretrained(model: nn.Module) -> tuple[str, ...]:
    """Return the prefixes of the parameters that pretrained models do not have."""
    return model.not_pretrained if isinstance(model, AddsLayers) else ()


def moves_without_gradient(module: nn.Module) -> bool:
    """Return whether something other than the optimizer moves the module's parameters."""
    return isinstance(module, MovesWithoutGradient) and module.moves_without_gradient


def junk_of(dataset: Any) -> int:
    """Return how many test images an opened dataset left out."""
    return dataset.junk if isinstance(dataset, CountsJunk) else 0
