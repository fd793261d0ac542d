"""Hyperparameters of a loss: dataclass fields that know their domain.

`option(default=2.0, low=0)` declares one. What values it takes is said once, by its annotation (`Literal` lists
choices, `Sequence[float]` takes one number per class) and its bounds; checks, `lossary show` and the tests read it
from there.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import numbers
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal, cast


@dataclasses.dataclass(frozen=True)
class Domain:
    """The interval that the numbers of an option must lie in."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False  # whether `low` itself is excluded
    below: bool = False  # whether `high` itself is excluded

    def __contains__(self, value: float) -> bool:
        low = value > self.low if self.above else value >= self.low
        high = value < self.high if self.below else value <= self.high
        return low and high

    def __str__(self) -> str:
        """In words, as messages and `lossary show` say it: `at least 0`, `in (0, 1]`."""
        if math.isinf(self.low) and math.isinf(self.high):
            return "any number"
        if math.isinf(self.high):
            return f"{'above' if self.above else 'at least'} {self.low:g}"
        if math.isinf(self.low):
            return f"{'below' if self.below else 'at most'} {self.high:g}"
        return f"in {'(' if self.above else '['}{self.low:g}, {self.high:g}{')' if self.below else ']'}"


REQUIRED = dataclasses.MISSING
"""The default of an option that has none."""


def option(
    *,
    default: Any = REQUIRED,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    kw_only: bool = True,
    init: bool = True,
) -> Any:
    """A field of a loss. `low` and `high` are the least and greatest value; `above` and `below` exclude the bound.
    Infinity is no value of an option, unless it is named as a bound.

    An option with `init=False` is fixed: its family knows it as an option, this loss has only one value of it.
    """
    domain = Domain(
        low=next((bound for bound in (above, low) if bound is not None), -math.inf),
        high=next((bound for bound in (below, high) if bound is not None), math.inf),
        above=above is not None or low is None,
        below=below is not None or high is None,
    )
    return dataclasses.field(default=default, kw_only=kw_only, init=init, repr=init, metadata={"domain": domain})


def choices(annotation: Any) -> tuple[Any, ...]:
    """The values of the `Literal` in an annotation, if any.

    >>> choices(Literal["mean", "sum"] | None)
    ('mean', 'sum')
    """
    if typing.get_origin(annotation) is Literal:
        return typing.get_args(annotation)
    return tuple(c for part in _alternatives(annotation) if part is not annotation for c in choices(part))


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return typing.get_args(annotation)
    return (annotation,)


def clean(name: str, value: Any, annotation: Any, domain: Domain) -> Any:
    """The value as a loss keeps it (sequences as tuples, NumPy numbers as Python's), or an error that says what is."""
    kinds = _alternatives(annotation)
    if value is None and type(None) in kinds:
        return None
    literals = choices(annotation)
    if isinstance(value, str) or (literals and kinds == (annotation,)):
        if value in literals:
            return value
        raise ValueError(f"`{name}` must be {_expected(kinds, literals, domain, named=True)}; got {value!r}")
    value = _plain(value)
    if isinstance(value, bool):
        if bool in kinds:
            return value
        raise TypeError(f"`{name}` must be {_expected(kinds, literals, domain, named=True)}; got {value!r}")
    for kind in kinds:
        if typing.get_origin(kind) in (Sequence, tuple) and isinstance(value, Sequence):
            item = typing.get_args(kind)[0]
            numbers_ = tuple(clean(f"{name}[{i}]", v, item, domain) for i, v in enumerate(cast("Sequence[Any]", value)))
            if not numbers_:
                raise ValueError(f"`{name}` must not be empty; give one number per class, or None")
            return numbers_
    if isinstance(value, numbers.Real):
        whole = float(value).is_integer() if math.isfinite(value) else False
        if float in kinds or (int in kinds and whole):
            number = float(value) if float in kinds else _exactly(value)
            if number in domain:
                return number
        expected = _expected(kinds, literals, domain, named=not (whole or float in kinds))
        also = ", and not infinite" if math.isinf(value) else ""
        raise ValueError(f"`{name}` must be {expected}{also}; got {value!r}")
    expected, cure = _expected(kinds, literals, domain, named=True), ""
    if hasattr(value, "tolist") or hasattr(value, "numpy"):
        cure = ". Options hold plain numbers, which are neither learned nor traced: pass its `tolist()`"
    raise TypeError(f"`{name}` must be {expected}; got {value!r} of type {type(value).__name__}{cure}")


def _exactly(value: numbers.Real) -> int:
    """A whole number; an integer as it is, because a float has 53 bits."""
    return int(value) if isinstance(value, numbers.Integral) else int(float(value))


def _plain(value: Any) -> Any:
    """The numbers of an array of NumPy, torch, JAX or TensorFlow, in lists. One that has a gradient stays what it is,
    and is refused: as an option it would be learned no more."""
    if getattr(value, "requires_grad", False) or not (hasattr(value, "tolist") or hasattr(value, "numpy")):
        return value
    try:
        return value.tolist() if hasattr(value, "tolist") else value.numpy().tolist()
    except Exception:  # of each library its own, where it traces a program and there are no numbers yet
        return value


class OptionsError(TypeError, ValueError):
    """Options that a loss does not have, or needs: a TypeError as Python's own, a ValueError as of other options."""


ELSEWHERE = {
    "weight": ("class_weight", "pos_weight"),
    "weights": ("class_weight", "pos_weight"),
    "class_weights": ("class_weight",),
    "size_average": ("reduction",),
    "reduce": ("reduction",),
    "mode": ("task",),
    "softmax": ("task", "from_logits"),
    "sigmoid": ("task", "from_logits"),
    "include_background": ("classes",),
    "batch": ("per",),
    "smooth_nr": ("smooth",),
    "smooth_dr": ("smooth",),
    "eps": ("smooth", "floor"),
    "axis": ("class_axis",),
    "dim": ("class_axis",),
    "smoothing": ("label_smoothing",),
    "smooth_factor": ("label_smoothing",),
    "log_target": ("target_form",),
}
"""What other libraries call an option, where the letters do not show it."""


def check_names(cls: Any, positional: Sequence[Any], settings: Sequence[str]) -> None:
    """Raises where a loss of the class cannot be made of these arguments, and says what it takes: in place of Python's
    own error, which would stand above it (`from None`)."""
    name, known = cls.__name__, {option: (field, annotation) for option, field, annotation in cls.options()}
    takes = f"it takes {', '.join(known)}"
    for setting in settings:
        if setting not in known:
            meant = [option for option in ELSEWHERE.get(setting, ()) if option in known]
            near = meant or difflib.get_close_matches(setting, known, n=1)
            hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
            of_call = (
                ". Weights of elements are `sample_weight` of the call" if setting in ("weight", "weights") else ""
            )
            raise OptionsError(f"{name} has no option {setting!r}; {hint}{takes}{of_call}") from None
    by_position = [option for option, (field, _) in known.items() if not field.kw_only]
    if len(positional) > len(by_position):
        extra = positional[len(by_position)]
        if "task" not in known and isinstance(extra, str) and extra in cls.tasks():  # an array has no truth value
            raise OptionsError(f"{name} is always {extra!r} and has no option `task`: leave it out") from None
        raise OptionsError(
            f"{name} takes its options by name, as in {name}({[*known][-1]}=…); got {extra!r}; {takes}"
        ) from None
    for option in by_position[: len(positional)]:
        if option in settings:
            raise OptionsError(f"{name} got `{option}` twice, by position and by name") from None
    for option in by_position[len(positional) :]:
        field, annotation = known[option]
        if field.default is REQUIRED and option not in settings:
            domain = field.metadata.get("domain")  # losses of losses have none
            raise OptionsError(
                f"{name} needs `{option}`" + (f": {describe(annotation, domain)}" if domain else "")
            ) from None


def _expected(kinds: tuple[Any, ...], literals: tuple[Any, ...], domain: Domain, named: bool = False) -> str:
    """What an option takes, in words; `named` says what kind of number too, for who gave another kind of thing."""
    parts: list[str] = []
    if literals:
        parts.append("one of " + ", ".join(repr(c) for c in literals))
    for kind in kinds:
        if kind is bool:
            parts.append("True or False")
        elif kind in (int, float):
            words = [str(domain)] if math.isfinite(domain.low) or math.isfinite(domain.high) else []
            if named or not words:
                words.insert(0, "an integer" if kind is int else "a number")
            parts.append(" ".join(words))
        elif typing.get_origin(kind) in (Sequence, tuple):
            item = "integers" if typing.get_args(kind)[0] is int else "numbers"
            parts.append(f"a sequence of {item}")
        elif kind is type(None):
            parts.append("None")
    return " or ".join(dict.fromkeys(parts))


def describe(annotation: Any, domain: Domain) -> str:
    """What an option takes, for `lossary show`."""
    return _expected(_alternatives(annotation), choices(annotation), domain)
