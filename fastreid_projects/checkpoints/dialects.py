"""Rename weights of other projects and of earlier FastReIDs to the names of the model that loads them.

The file does not say whose names it uses, so each rule is tried. The rule after which most entries fit is taken if
nearly all entries of the file fit; otherwise the names stay as they are. An architecture may know its authors' names:
:class:`fastreid_projects.contract.KnowsAuthors`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch

from fastreid_projects.checkpoints.matching import REQUIRED_SHARE
from fastreid_projects.contract import KnowsAuthors

State = Mapping[str, torch.Tensor]
# Wrappers that training frameworks, torch.compile among them, put in front of every name, also one in another.
_WRAPPER = re.compile(r"^(?:module|model|net|network|encoder|_orig_mod)\.")
_DEEPEST = 4
# The normalisation of images, which FastReID of 2020 saved with the weights; it is a value of the config.
_NOT_WEIGHTS = ("pixel_mean", "pixel_std")


class Rule(NamedTuple):
    """The names that a project gives to the parts of a model.

    Attributes:
        project: the project that uses these names.
        renames: (pattern, replacement) for the start of a name, applied one after the other.
    """

    project: str
    renames: tuple[tuple[str, str], ...]

    def apply(self, name: str) -> str:
        """Return the model's name for a name of the project."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name


RULES = (
    Rule("FastReID of 2021", ((r"^heads\.classifier\.", "heads."),)),
    Rule(
        "FastReID of 2020",
        ((r"^heads\.classifier\.", "heads."), (r"^heads\.bnneck\.(?:0\.)?", "heads.bottleneck.0.")),
    ),
    Rule(
        "FastReID of 2020 with a reduced feature",
        ((r"^heads\.classifier\.", "heads."), (r"^heads\.bnneck\.(?:0\.)?", "heads.bottleneck.1.")),
    ),
    Rule(
        "BoT or TransReID",
        ((r"^base\.", "backbone."), (r"^bottleneck\.", "heads.bottleneck.0."), (r"^classifier\.", "heads.")),
    ),
    Rule("torchreid, torchvision or timm", ((r"^classifier\.", "heads."), (r"^(?!heads\.)", "backbone."))),
)


def in_own_names(
    model_state: State, file_state: State, architecture: Any = None
) -> tuple[dict[str, torch.Tensor], str]:
    """Rename the entries of a file to the names of the model.

    Args:
        model_state: the state dict of the model.
        file_state: the state dict of the file.
        architecture: the model, which may know the names of its authors.

    Returns:
        The entries, and the project whose names they had; "" if they had the model's names or no rule helps.
    """
    dropped = set(_NOT_WEIGHTS) - model_state.keys()
    plain = {name: value for name, value in file_state.items() if name not in dropped}
    best, project, most = plain, "", _fitting(model_state, plain)
    for name, state in _candidates(plain, architecture):
        fitting = _fitting(model_state, state)
        if fitting > most and fitting > REQUIRED_SHARE * len(state):
            best, project, most = state, name, fitting
    return best, project


def _candidates(
    plain: dict[str, torch.Tensor], architecture: Any
) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Yield each project with the entries renamed from its names, unless two of them would get the same name."""
    states = list(_unwrapped(plain))
    for state in states[1:]:
        yield "a training framework", state
    for state in states:
        for rule in RULES:
            renamed = {rule.apply(name): value for name, value in state.items()}
            if len(renamed) == len(plain):
                yield rule.project, renamed
    if isinstance(architecture, KnowsAuthors):
        yield "the authors' network", architecture.from_authors(plain)


def _unwrapped(state: dict[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    """Yield a state dict as it is, then without one wrapper more each time."""
    for _ in range(_DEEPEST):
        yield state
        inner = {_WRAPPER.sub("", name): value for name, value in state.items()}
        if inner.keys() == state.keys() or len(inner) < len(state):
            return
        state = inner


def _fitting(model_state: State, state: State) -> int:
    return sum(
        name in model_state and model_state[name].shape == value.shape for name, value in state.items()
    )
