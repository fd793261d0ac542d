"""The catalogue: every loss class by name, alias, family and task."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from typing import Any, cast

from lossary.core import elsewhere
from lossary.core.elsewhere import Row

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
    """The loss class of a name or alias, or of a name that another library has for it.

    >>> import lossary
    >>> lossary.find("focal") is lossary.find("FocalLoss") is lossary.FocalLoss
    True
    >>> lossary.find("torch.nn.MSELoss"), lossary.find("mean_squared_error") is lossary.MSELoss
    (<class 'lossary.losses.regression.errors.MSELoss'>, True)

    Raises:
        ValueError: no loss has that name; the message lists the nearest.
    """
    cls, _ = _resolve(name)
    return cls


def create(name: str, **settings: Any) -> Loss:
    """A loss from its name and options. A name of another library brings the options that make it the same loss as
    theirs without options; where the table compares only calls with options, the error says them.

    >>> import lossary
    >>> lossary.create("focal", task="binary", gamma=1)
    FocalLoss('binary', gamma=1.0)
    >>> lossary.create("keras.losses.SquaredHinge")
    HingeLoss('binary', power=2.0)

    Raises:
        ValueError: unknown name, or a value outside its domain.
        TypeError: unknown option, or one that the loss needs and does not get.
    """
    cls, given = _resolve(name, exactly=True)
    return cls(**{**given, **settings})


def rows(name: str) -> list[Row]:
    """What the table of other libraries has under a name: with dots that of one library, without that of all."""
    known = elsewhere.by_name()
    if "." in name:
        row = known.get(elsewhere.full(name))
        return [] if row is None else [row]
    key = _key(name)
    return list(dict.fromkeys(row for full, row in known.items() if _key(full.rpartition(".")[2]) == key))


def _resolve(name: str, exactly: bool = False) -> tuple[type[Loss], dict[str, Any]]:
    """The class of a name, and the options that another library's name stands for; `exactly` refuses a name whose
    number is a multiple of ours, say, or which the table has with options, because those are examples."""
    key = _key(name)
    if key in _names:
        return _classes[_names[key]], {}
    from lossary.core.compound import COMPOUND

    for compound in COMPOUND.values():
        if key in (_key(compound.__name__), _key(compound.short_name())):
            return compound, {}
    found = rows(name)
    if not found:
        raise ValueError(f"no loss is called {name!r}; {_hint(name)}")
    made = [row.loss() for row in found]
    several = any(loss is None for loss in made) or len({loss[0] for loss in made if loss}) > 1
    if several or (exactly and not all(row.exact for row in found)):
        raise ValueError(f"{name!r} is no single loss here. {' '.join(_said(row, name) for row in found)}")
    if exactly and not all(row.bare for row in found):
        said = " ".join(f"{row.theirs} is {row.ours}." for row in found)
        raise ValueError(f"{name!r} is a loss whose options must be said here. {said}")
    cls_name, positional, settings = cast("tuple[str, list[Any], dict[str, Any]]", made[0])
    cls = _classes[cls_name]
    if len(found) > 1 and any(loss != made[0] for loss in made):
        return cls, {}  # libraries that differ in options: the class, as it is by itself
    by_position = [option for option, field, _ in cls.options() if not field.kw_only]
    return cls, {**dict(zip(by_position, positional, strict=False)), **settings}


def _said(row: Row, name: str) -> str:
    """A row of the table in one sentence, under the spelling that was asked for."""
    spellings = row.names.split()
    last = _key(name.rpartition(".")[2])
    spelt = next((s for s in spellings if _key(s.rpartition(".")[2]) == last), spellings[0])
    ours = row.ours if row.exact else row.code
    return f"{spelt}: {ours or row.note}{'.' if ours else ''}"


def _hint(name: str) -> str:
    """The nearest names; only those that are really near, because a wrong one misleads."""
    key = _key(name.rpartition(".")[2])
    theirs = {_key(full.rpartition(".")[2]): row.names.split()[0] for full, row in elsewhere.by_name().items()}
    every = {**theirs, **{n: _classes[cls].short_name() for n, cls in _names.items()}}
    near = difflib.get_close_matches(key, every, n=6, cutoff=0.7)
    suggestions = list(dict.fromkeys(every[n] for n in near))[:3]
    return f"the nearest are {', '.join(suggestions)}" if suggestions else "`lossary list` shows every loss"


def from_dict(description: Mapping[str, Any]) -> Loss:
    """The loss that `to_dict` described, sums included.

    >>> import json, lossary
    >>> loss = lossary.DiceLoss("multiclass") + 0.5 * lossary.FocalLoss("multiclass", gamma=1)
    >>> lossary.from_dict(json.loads(json.dumps(loss.to_dict()))) == loss
    True
    """
    if not isinstance(description, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"`description` must be a dict, as `to_dict` makes it; got {description!r}")
    if "loss" not in description:
        raise ValueError(f"a description of a loss needs the key 'loss' with its class; got {sorted(description)}")
    settings = {str(key): value for key, value in description.items() if key != "loss"}
    from lossary.core.compound import COMPOUND

    if description["loss"] in COMPOUND:
        return COMPOUND[description["loss"]].from_parts(settings)
    return find(description["loss"])(**settings)
