"""`lossary plot`: a picture of losses. Options of the losses take several values: `--gamma 0 1 2` is three curves."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import json
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lossary.core.loss import Loss

UNKNOWN_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""What this verb is registered with: options of losses reach it as they stand on the command line."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What to draw: names of losses, and for each option the values that were written after it."""

    names: tuple[str, ...]
    options: dict[str, tuple[str, ...]]


def plot(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help="Losses, then options of theirs with one or more values: focal --gamma 0 1 2. "
            "A name may also be a sum, with options in place: dice+0.5*focal:gamma=1.",
            show_default=False,
        ),
    ],
    out: Annotated[
        list[Path] | None,
        typer.Option(help="File that ends in .png or .svg; give it twice for both. [the names, .png]"),
    ] = None,
    axis: Annotated[
        str | None,
        typer.Option(
            help="What the curves run over: e, m, p_t, p, tp, shift, angle, radius, distance, cos, offset, scale or "
            "ratio."
        ),
    ] = None,
    limits: Annotated[
        tuple[float, float] | None, typer.Option("--limits", help="Where the axis begins and ends.", metavar="LOW HIGH")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the curves as JSON; draws only with --out.")] = False,
) -> None:
    """Draw the value and slope of losses over the axis of their family.

    Several losses, or several values of an option, come into one picture.
    """
    from lossary.views.curves import curves

    request = read(words)
    losses = make_losses(request)
    files = out or ([] if as_json else [Path("-".join(_file_name(name) for name in request.names) + ".png")])
    if files:
        from lossary.views.plots import check_path

        for file in files:
            check_path(file)
    lines = curves(losses, axis, limits)
    for file in files:
        from lossary.views.plots import draw, save

        save(draw(lines), file)
        typer.echo(f"wrote {file}", err=as_json)
    if as_json:
        typer.echo(json.dumps([line.to_dict() for line in lines], allow_nan=False))


def read(words: Sequence[str]) -> Request:
    """The names and options of a command line.

    >>> read(["focal", "--gamma", "0", "1", "--alpha=.25"])
    Request(names=('focal',), options={'gamma': ('0', '1'), 'alpha': ('.25',)})
    """
    names: list[str] = []
    options: dict[str, list[str]] = {}
    values = names
    for word in words:
        if not word.startswith("--"):
            values.append(word)
            continue
        option, equals, value = word.removeprefix("--").partition("=")
        name = option.replace("-", "_")
        if name in options:
            raise ValueError(f"--{option} is given twice; write all its values after one: --{option} 1 2")
        values = options[name] = [value] if equals else []
    if not names:
        raise ValueError("name at least one loss before its options, for example: lossary plot focal --gamma 0 1 2")
    for name, given in options.items():
        if not given or not all(given):
            raise ValueError(f"--{_dashed(name)} needs at least one value")
    return Request(tuple(names), {name: tuple(given) for name, given in options.items()})


def make_losses(request: Request) -> list[Loss]:
    """The losses of a request: each name with every combination of the values of those options that it has."""
    from lossary.core.catalogue import create, find

    plain = {name: find(name) for name in request.names if not _is_spec(name)}
    _check_options(request, list(plain.values()))
    losses: list[Loss] = []
    for name in request.names:
        if name not in plain:
            losses.append(_from_spec(name, request))
            continue
        cls = plain[name]
        own = {option: annotation for option, _, annotation in cls.options()}
        given = {option: values for option, values in request.options.items() if option in own}
        for combination in itertools.product(*given.values()):
            settings = {o: _value(o, text, own[o]) for o, text in zip(given, combination, strict=True)}
            losses.append(create(cls.__name__, **_with_task(cls, settings)))
    return list(dict.fromkeys(losses))


def _check_options(request: Request, classes: Sequence[type[Loss]]) -> None:
    """Raises where an option belongs to none of the losses."""
    known = list(dict.fromkeys(option for cls in classes for option, _, _ in cls.options()))
    for option in request.options:
        if option not in known:
            names = ", ".join(dict.fromkeys(cls.__name__ for cls in classes)) or "a sum"
            near = difflib.get_close_matches(option, known, n=1, cutoff=0.5)
            hint = f"did you mean --{_dashed(near[0])}?" if near else "options of a sum are written name:option=value"
            if known and not near:
                hint = f"there are {', '.join(f'--{_dashed(k)}' for k in known)}"
            raise ValueError(f"{names} has no option --{_dashed(option)}; {hint}")


def _with_task(cls: type[Loss], settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with a task where the loss must have one: a curve is the same for all of them or nearly so."""
    from lossary.core.options import REQUIRED, choices

    for option, field, annotation in cls.options():
        if option == "task" and field.default is REQUIRED and option not in settings:
            return {"task": choices(annotation)[0], **settings}
    return settings


def _value(option: str, text: str, annotation: Any) -> Any:
    """A word of the command line as the option's value."""
    from lossary.core.options import choices
    from lossary.studies.specs import value

    if text in choices(annotation):
        return text
    read = value(text)
    if isinstance(read, str) and "," in read:
        read = value(f"({read})")
    if isinstance(read, str) and not choices(annotation):
        try:
            return float(read)  # inf, nan
        except ValueError:
            names = "" if str in typing.get_args(annotation) else " If it is a loss, write it before the options."
            raise ValueError(f"--{_dashed(option)} takes no value {text!r}.{names}") from None
    return read


def _is_spec(name: str) -> bool:
    return any(sign in name for sign in "+*:=")


def _from_spec(text: str, request: Request) -> Loss:
    """A sum, or a loss with options in place, for the first task that all its parts have."""
    from lossary.studies.specs import parse
    from lossary.views.axes import parts

    unreadable: list[ValueError] = []
    tasks = request.options.get("task", ("binary", "multilabel", "multiclass"))
    for task in tasks:
        try:
            loss = parse(text, options={"task": task})
        except ValueError as error:
            unreadable.append(error)
            continue
        if len({getattr(part, "task", task) for part in parts(loss)}) == 1:
            return loss
    if len(unreadable) == len(tasks):
        raise unreadable[0]
    raise ValueError(f"the parts of {text!r} have no task in common; draw them apart")


def _dashed(option: str) -> str:
    return option.replace("_", "-")


def _file_name(name: str) -> str:
    """A loss's name as part of a file's: `dice+0.5*focal:gamma=1` is `dice_0.5_focal_gamma_1`."""
    return "".join(c if c.isalnum() or c in "._" else "_" for c in name)
