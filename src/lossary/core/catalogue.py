"""The catalogue: every loss class by name, alias, family and task."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from typing import Any

from lossary.core import options

if typing.TYPE_CHECKING:
    from lossary.core.loss import Loss

_classes: dict[str, type[Loss]] = {}
_names: dict[str, str] = {}

T = typing.TypeVar("T", bound="type[Loss]")


def register(cls: T) -> T:
    """Enters a class under its name, its short name and its aliases; refuses a taken one."""
    names = {_key(name) for name in (cls.__name__, cls.short_name(), *cls.facts.aliases)}
    for name in names:
        if name in _names:
            raise ValueError(f"the name {name!r} of {cls.__name__} is taken by {_names[name]}; choose another alias")
    _names.update(dict.fromkeys(names, cls.__name__))
    _classes[cls.__name__] = cls
    return cls


def _key(name: str) -> str:
    """Names are compared without case, hyphens and underscores; a trailing "Loss" is optional."""
    key = name.lower().replace("_", "").replace("-", "").replace(" ", "")
    return key.removesuffix("loss") or key


def catalogue() -> list[type[Loss]]:
    """Every loss class, in the order of the field: regression, classification, boxes, segmentation, sequences.

    >>> import lossary
    >>> lossary.FocalLoss in lossary.catalogue()
    True
    """
    return list(_classes.values())


def find(name: str) -> type[Loss]:
    """The loss class of a name or alias.

    >>> import lossary
    >>> lossary.find("focal") is lossary.find("FocalLoss") is lossary.FocalLoss
    True

    Raises:
        ValueError: no loss has that name; the message lists the nearest.
    """
    key = _key(name)
    if key in _names:
        return _classes[_names[key]]
    near = difflib.get_close_matches(key, _names, n=6, cutoff=0.5)
    suggestions = list(dict.fromkeys(_classes[_names[n]].short_name() for n in near))[:3]
    hint = f"the nearest are {', '.join(suggestions)}" if suggestions else "`lossary list` shows every loss"
    raise ValueError(f"no loss is called {name!r}; {hint}")


def create(name: str, **settings: Any) -> Loss:
    """A loss from its name and options.

    >>> import lossary
    >>> lossary.create("focal", task="binary", gamma=1)
    FocalLoss('binary', gamma=1.0)

    Raises:
        ValueError: unknown name or option, or a value outside its domain.
    """
    cls = find(name)
    known = {option: field for option, field, _ in cls.options()}
    for setting in settings:
        if setting not in known:
            near = difflib.get_close_matches(setting, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"{cls.__name__} has no option {setting!r}; {hint}it takes {', '.join(known)}")
    for option, field, annotation in cls.options():
        if not field.kw_only and option not in settings and field.default is options.REQUIRED:
            raise ValueError(f"{cls.__name__} needs `{option}`: {options.describe(annotation, options.Domain())}")
    return cls(**settings)


def from_dict(description: Mapping[str, Any]) -> Loss:
    """The loss that `to_dict` described, sums included.

    >>> import json, lossary
    >>> loss = lossary.DiceLoss("multiclass") + 0.5 * lossary.FocalLoss("multiclass", gamma=1)
    >>> lossary.from_dict(json.loads(json.dumps(loss.to_dict()))) == loss
    True
    """
    if "loss" not in description:
        raise ValueError(f"a description of a loss needs the key 'loss' with its class; got {sorted(description)}")
    settings = {str(key): value for key, value in description.items() if key != "loss"}
    from lossary.core.compound import COMPOUND

    if description["loss"] in COMPOUND:
        return COMPOUND[description["loss"]].from_parts(settings)
    return create(description["loss"], **settings)
