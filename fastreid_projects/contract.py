"""What an architecture, backbone, head, loss or dataset may offer beyond what FastReID asks of it.

Everything here is optional. The core asks ``isinstance(thing, Protocol)`` and never for an attribute by its name, so
that an editor shows who offers what. A class that offers one of these is checked when it is registered
(:mod:`fastreid_projects.contract_checks`). The hooks of an architecture without ``self`` are static methods.

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
        """Raise a ConfigError that names the key, its value and the way out."""


@runtime_checkable
class HasTestConfig(Protocol):
    """An architecture that is built smaller where it is not trained."""

    @staticmethod
    def test_config(cfg: Any) -> Any:
        """Return the config of the model without what only training needs; the given one stays as it is."""


@runtime_checkable
class KnowsAuthors(Protocol):
    """An architecture that reads the checkpoints of its authors' network."""

    @staticmethod
    def from_authors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return their weights under the architecture's names; entries that it does not know keep theirs."""


class Source(NamedTuple):
    """A dataset that was opened, and the images of it that are wanted.

    Attributes:
        name: its registered name.
        dataset: the opened dataset.
        items: (path, identity, camera) of the wanted images.
    """

    name: str
    dataset: Any
    items: Sequence[tuple[Any, ...]]


# The sources and the host's transforms -> a dataset for the host's loaders.
DatasetMaker = Callable[[Sequence[Source], Any], Any]


@runtime_checkable
class HasDataset(Protocol):
    """An architecture whose batches hold more than the host's."""

    @staticmethod
    def own_dataset(cfg: Any, is_train: bool) -> DatasetMaker | None:
        """Return what makes its dataset, or None where the host's will do."""


@runtime_checkable
class HasEvaluator(Protocol):
    """An architecture that is not scored by the host's ReID evaluator."""

    def build_evaluator(self, cfg: Any, dataset_name: str, loader: Any, num_query: int) -> Any:
        """Return a ``DatasetEvaluator`` for a test set; its optional ``counts`` (name -> int) go into run.json."""


@runtime_checkable
class CountsItems(Protocol):
    """An evaluator that says over how many queries, images and identities it scored."""

    counts: dict[str, Any]


# --- Architectures and backbones: their weights


@runtime_checkable
class AddsLayers(Protocol):
    """An architecture or a backbone with layers that no pretrained model of its kind has.

    Attributes:
        not_pretrained: prefixes of these layers' parameters, e.g. ``("layer5.",)``.
    """

    not_pretrained: tuple[str, ...]


@runtime_checkable
class MovesWithoutGradient(Protocol):
    """A module whose parameters something else than the optimizer moves, as a teacher that is a running mean.

    Attributes:
        moves_without_gradient: True; the check that every weight moves leaves it out.
    """

    moves_without_gradient: bool


@runtime_checkable
class CutsItself(Protocol):
    """A backbone that says how it is cut into five stages, where that cannot be seen from its layers."""

    def five_stages(self) -> list[nn.Module] | None:
        """Return modules that do what the backbone does, its levels side by side; None where it cannot be cut."""


# --- Architectures: what they return, and what is shown of it


@runtime_checkable
class DescribesOutput(Protocol):
    """An architecture that returns something else than one feature (N, D) for each image.

    Attributes:
        output_kind: ``"features"``, with distances between them, or ``"logits"``, with a class each.
        output_names: what lies along axis 1 of (N, names, D); () where it is (N, D).
    """

    @property
    def output_kind(self) -> str: ...

    @property
    def output_names(self) -> Sequence[str]: ...


@runtime_checkable
class WrapsModel(Protocol):
    """An architecture around the model whose features are compared, as an interpreter around its target."""

    @property
    def compared_model(self) -> nn.Module:
        """The model inside, which takes the same images and returns features (N, D)."""


@runtime_checkable
class HasMaps(Protocol):
    """An architecture or a backbone that says which modules give its last maps."""

    def map_layers(self) -> dict[str, nn.Module]:
        """Return name -> module whose output is a map (N, C, H, W)."""


class Part(NamedTuple):
    """A branch's part of the feature.

    Attributes:
        layer: the module whose output is the branch's last map.
        numbers: which of the D numbers are the branch's.
    """

    layer: nn.Module
    numbers: slice


@runtime_checkable
class HasParts(Protocol):
    """An architecture whose feature is put together from branches."""

    def saliency_parts(self) -> dict[str, Part]:
        """Return name -> the branch's map and its numbers of the feature."""


class Branch(NamedTuple):
    """One pooled part of a model's feature.

    Attributes:
        features: the branch's whole last map, (N, C, H, W).
        pool: what pools it, (N, C, H, W) -> (N, C, 1, 1).
        neck: what follows, (N, C, 1, 1) -> (N, D) or (N, D, 1, 1).
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
        """Return the feature after the neck, (N, D): this part of what the model returns at evaluation."""
        return self.neck(self.pooled()).flatten(1)


@runtime_checkable
class Explainable(Protocol):
    """An architecture whose feature is made of pooled branches, so that AMD can explain it."""

    def explained_stages(self) -> list[nn.Module]:
        """Return five modules from normalised images to the (first) last map; they share the model's parameters."""

    def explained_branches(self, maps: Sequence[Tensor]) -> list[Branch]:
        """Return the branches in the feature's order, from the maps after each of the five stages, in eval mode."""


# --- Heads


@runtime_checkable
class BelongsTo(Protocol):
    """A head that one architecture alone can use.

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
    """What a class offers that :func:`fastreid_projects.losses.registry.register_loss` registers.

    Attributes:
        inputs: what its first argument is: ``"features"`` (N, D), ``"logits"`` (N, classes), or a name of its own that
            only the architecture offering it knows.
        config_node: its node below ``MODEL.LOSSES`` (which has a ``SCALE``), or "" for none.
    """

    inputs: ClassVar[str]
    config_node: ClassVar[str]

    @classmethod
    def from_config(cls, cfg: Any) -> nn.Module:
        """Build it from its config node."""

    def forward(self, inputs: Any, labels: Tensor) -> Tensor:
        """Return a scalar; zero with the graph kept where no pair counts."""


# --- Datasets: of the class, known before it is opened


@runtime_checkable
class AsksWithSeveral(Protocol):
    """A dataset whose queries are several images of one person and camera, averaged.

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
    """A dataset, as FastReID's are: sets of one ``dataset_name`` show the same people, each by the same number.

    Attributes:
        dataset_name: the name.
    """

    dataset_name: str


@runtime_checkable
class SharesPeople(Protocol):
    """A dataset that shows the people of another one, by the same numbers.

    Attributes:
        people: the registered name of the other one.
    """

    people: str


@runtime_checkable
class KnowsPixels(Protocol):
    """A dataset that knows where in an image each attribute is seen."""

    @staticmethod
    def attribute_masks(image_path: str) -> Any:
        """Return bool (M, H, W): the pixels that show each attribute of its set."""


@runtime_checkable
class ChangesAttributes(Protocol):
    """A dataset that can show a person again with one attribute changed."""

    @classmethod
    def counterfactuals(cls, paths: Sequence[str], number: int) -> Iterable[Any]:
        """Yield up to ``number`` pairs of an image and its changed twin."""


# --- Datasets: of an opened one


@runtime_checkable
class TrainsOnly(Protocol):
    """A dataset that has no query and no gallery.

    Attributes:
        trains_only: True.
    """

    trains_only: bool


@runtime_checkable
class CountsJunk(Protocol):
    """A dataset that left test images out because they show nobody that counts.

    Attributes:
        junk: how many.
    """

    junk: int


def compared_model(model: nn.Module) -> nn.Module:
    """Return the model whose features are compared: the one inside, of an architecture that wraps it."""
    return model.compared_model if isinstance(model, WrapsModel) else model


def output_kind(model: nn.Module) -> str:
    """Return ``"features"`` unless the model says something else."""
    return model.output_kind if isinstance(model, DescribesOutput) else "features"


def not_pretrained(model: nn.Module) -> tuple[str, ...]:
    """Return the prefixes of parameters that no pretrained model of its kind has."""
    return model.not_pretrained if isinstance(model, AddsLayers) else ()


def moves_without_gradient(module: nn.Module) -> bool:
    """Return whether something else than the optimizer moves the module's parameters."""
    return isinstance(module, MovesWithoutGradient) and module.moves_without_gradient


def junk_of(dataset: Any) -> int:
    """Return how many test images an opened dataset left out."""
    return dataset.junk if isinstance(dataset, CountsJunk) else 0
