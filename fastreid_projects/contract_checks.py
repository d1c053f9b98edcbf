"""Check at registration that a class offers features of :mod:`fastreid_projects.contract` completely."""

from __future__ import annotations

import difflib
import functools
import inspect
import typing
import warnings
from typing import Any

from fastreid_projects import contract

_OF_MODELS = (contract.AddsLayers, contract.MovesWithoutGradient, contract.HasMaps)
# Kind of registry -> the features that its classes may offer.
OFFERS: dict[str, tuple[type, ...]] = {
    "architecture": (
        *(contract.ChecksConfig, contract.HasTestConfig, contract.HasDataset, contract.HasEvaluator),
        contract.KnowsAuthors,
        *(
            contract.DescribesOutput,
            contract.WrapsModel,
            contract.HasParts,
            contract.Explainable,
            *_OF_MODELS,
        ),
    ),
    "backbone": (
        *(contract.CutsItself, contract.FitsWeights, contract.NumbersLayers, contract.OrdersChannels),
        *_OF_MODELS,
    ),
    "head": (contract.BelongsTo, contract.TakesLevels),
    "dataset": (
        *(contract.AsksWithSeveral, contract.DrawsGallery, contract.NamesPeople, contract.SharesPeople),
        *(contract.HasAttributes, contract.KnowsPixels, contract.ChangesAttributes),
    ),
    "loss": (contract.Loss,),
}
_SLIP = 0.92  # the similarity from which a name counts as misspelt: one letter in ten


def check_offers(kind: str, name: str, cls: object) -> None:
    """Check that the core can use what a class offers.

    A name that nearly equals one in the contract causes a warning, because the core would never look it up.

    Args:
        kind: a key of `OFFERS`; other kinds are not checked.
        name: the name under which the class is registered.
        cls: a class; a function that builds something is not checked.

    Raises:
        TypeError: a part of an offer is missing, takes other arguments, or has another type.
    """
    if not inspect.isclass(cls):
        return
    where = f"the {kind} {name}"
    offers = OFFERS.get(kind, ())
    for offer in offers:
        there = [member for member in _members(offer) if _given(cls, member)]
        missing = [member for member in _members(offer) if member not in there]
        if missing and (offer is contract.Loss or (there and not _set_by_init(offer))):
            also = f", which goes with its '{there[0]}'" if there else ""
            raise TypeError(f"{where} has no '{missing[0]}'{also}")
        for member in there:
            _check_member(where, cls, offer, member)
    known = {member for offer in offers for member in _members(offer)}
    for own in sorted(set(vars(cls)) - known):
        near = difflib.get_close_matches(own, known, n=1, cutoff=_SLIP)
        if near and not _given(cls, near[0]):
            warnings.warn(
                f"{where} has '{own}', which is never used; did you mean '{near[0]}'?", stacklevel=4
            )


@functools.cache
def _members(offer: type) -> tuple[str, ...]:
    """Return the names of a protocol's members."""
    names = (*inspect.get_annotations(offer), *vars(offer))
    return tuple(name for name in dict.fromkeys(names) if not name.startswith("_"))


def _given(cls: type, member: str) -> bool:
    """Return whether a class defines a member, not only as a bare annotation."""
    return any(member in vars(base) for base in cls.__mro__)


def _set_by_init(offer: type) -> bool:
    """Return whether a protocol asks only for values, which may be set when the object is built."""
    return all(not callable(vars(offer).get(m)) for m in _members(offer))


def _check_member(where: str, cls: type, offer: type, member: str) -> None:
    ours, theirs = vars(offer).get(member), inspect.getattr_static(cls, member)
    if isinstance(ours, property) or ours is None:
        _check_value(where, offer, member, theirs)
        return
    static = isinstance(ours, staticmethod)
    if static and not isinstance(theirs, (staticmethod, classmethod)):
        raise TypeError(
            f"{where} has to offer '{member}' as a static or class method: it is called on the class"
        )
    function = inspect.getattr_static(offer, member)
    wanted = [
        p for p in inspect.signature(_function(function)).parameters.values() if p.name not in ("self", "cls")
    ]
    if isinstance(theirs, property):
        raise TypeError(
            f"{where} offers '{member}' as a property, but it is called as {_call(member, wanted)}"
        )
    found = inspect.signature(_function(theirs))
    bound = () if isinstance(theirs, staticmethod) else (None,)
    try:
        found.bind(*bound, *wanted)
    except TypeError as error:
        raise TypeError(
            f"{where} offers '{member}{found}', but it is called as {_call(member, wanted)}"
        ) from error


def _function(member: Any) -> Any:
    return member.__func__ if isinstance(member, (staticmethod, classmethod)) else member


def _call(member: str, wanted: list[inspect.Parameter]) -> str:
    return f"{member}({', '.join(parameter.name for parameter in wanted)})"


def _check_value(where: str, offer: type, member: str, value: Any) -> None:
    """Check that a value of a class has the type that the protocol declares; a property is checked later."""
    if isinstance(value, property):
        return
    annotation = typing.get_type_hints(offer).get(member)
    if annotation is None:  # a property of the protocol
        annotation = typing.get_type_hints(vars(offer)[member].fget)["return"]
    expected = _plain(annotation)
    if expected is not None and not isinstance(value, expected):
        kind = f"{expected[0].__name__}" if isinstance(expected, tuple) else expected.__name__
        raise TypeError(f"{where} offers '{member}' as {value!r}, but it has to be of the type {kind}")


def _plain(annotation: Any) -> Any:
    """Return the class of a type, without its parameters; None if it is unknown."""
    origin = typing.get_origin(annotation)
    if origin is typing.ClassVar:
        return _plain(typing.get_args(annotation)[0])
    plain = origin or annotation
    if not inspect.isclass(plain):
        return None
    return plain if issubclass(plain, (str, bool, int)) else (tuple, list) if plain is not dict else None
