"""The small language in which the command line names losses.

    cross_entropy,focal:gamma=1,dice+0.5*focal,tversky:fp_weight=.3:fn_weight=.7

A list has commas, a sum has `+`, a term may have a weight before `*` and options after `:`. Commas inside parentheses
belong to a value: `cross_entropy:class_weight=(1,2,2)`.
"""

from __future__ import annotations

import ast
import functools
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lossary.core.catalogue import create, find
from lossary.core.loss import Loss
from lossary.studies.errors import InputError

_TERM = re.compile(r"^(?:(?P<weight>[^*:]+)\*)?(?P<name>[^*:=]+)(?P<options>(?::[^:]*)*)$")


def split(text: str, separator: str = ",") -> list[str]:
    """The items of a list, stripped; a separator inside parentheses, or the + of an exponent (1e+3), does not count.

    >>> split("dice, cross_entropy:class_weight=(1,2)")
    ['dice', 'cross_entropy:class_weight=(1,2)']
    """
    items, depth = [""], 0
    for place, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        exponent = letter == "+" and re.search(r"[\d.]e$", text[:place]) is not None
        if letter == separator and depth == 0 and not exponent:
            items.append("")
        else:
            items[-1] += letter
    if depth:
        raise InputError(f"parentheses do not match in {text!r}")
    return [item.strip() for item in items]


def value(text: str) -> Any:
    """An option's value as Python would read it; `true` and `false` need no capital, and other text stays text.

    >>> [value(t) for t in (".3", "2", "true", "None", "(1, 2.5)", "present", "none")]
    [0.3, 2, True, None, (1, 2.5), 'present', 'none']
    """
    words = {"true": True, "false": False}  # but `none` is a word of its own: a reduction
    if text in words:
        return words[text]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def parse(spec: str, *, options: Mapping[str, Any], class_weight: Sequence[float] | None = None) -> Loss:
    """The loss of one spec; sums as `dice+0.5*focal`.

    Args:
        spec: one item of the list, see the top of this file.
        options: given to the losses that have them and whose spec does not say them: the task, say.
        class_weight: what `class_weight=balanced` stands for, one number per class.

    >>> parse("dice+0.5*focal:gamma=1", options={"task": "multiclass"})
    DiceLoss('multiclass') + 0.5 * FocalLoss('multiclass', gamma=1.0)
    """
    terms = [_term(term, options, class_weight) for term in split(spec, "+")]
    return functools.reduce(operator.add, terms)


def _term(text: str, given: Mapping[str, Any], class_weight: Sequence[float] | None) -> Loss:
    match = _TERM.match(text)
    if match is None:
        raise InputError(
            f"cannot read {text!r} as a loss; write name:option=value, with weight*name and + for sums, "
            "for example dice+0.5*focal:gamma=1"
        )
    try:
        cls = find(match["name"].strip())
        options = _options(match["options"], class_weight)
        own = {name for name, _, _ in cls.options()}
        options = {name: value for name, value in given.items() if name in own} | options
        loss = create(cls.__name__, **options)
        return loss if match["weight"] is None else _weight(match["weight"]) * loss
    except (TypeError, ValueError) as error:
        raise InputError(f"in {text!r}: {error}") from error


def _options(text: str, class_weight: Sequence[float] | None) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for item in text.split(":")[1:]:
        name, equals, written = (part.strip() for part in item.partition("="))
        if not name or not equals or not written:
            raise ValueError(f"an option is written name=value; got {item!r}")
        if name in options:
            raise ValueError(f"the option {name!r} is given twice")
        options[name] = value(written)
    if options.get("class_weight") == "balanced":
        if class_weight is None:
            raise ValueError("class_weight=balanced needs training data given as arrays, to count the classes")
        options["class_weight"] = tuple(class_weight)
    return options


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"the weight before * must be a number; got {text.strip()!r}") from None
