"""Which loss of the catalogue a foreign one is: the same number on many random inputs.

A loss that is recognised is then held to the catalogue's value at the edges as well, which finds what no general claim
can: a clamp that cuts off the tail, an epsilon that shows, a constant factor.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from lossary.checker.engines import Batch
from lossary.checker.scenes import Convention, Scene, probabilities, random_scene
from lossary.checker.subject import Subject
from lossary.core.catalogue import catalogue
from lossary.core.loss import Loss

INPUTS = 200
FEW = 2


@dataclasses.dataclass(frozen=True)
class Match:
    """A loss of the catalogue that gives the same number, perhaps after a change that is named."""

    loss: Loss
    factor: float = 1.0  # the subject's value over the loss's
    change: str = ""  # what must be done to the loss's input or options to get the subject's number
    inputs: int = INPUTS

    def __str__(self) -> str:
        times = "" if self.factor == 1 else f"{_fraction(self.factor)} times "
        change = f" {self.change}" if self.change else ""
        return f"{times}{self.loss!r}{change}, on {self.inputs} random inputs"


_FRACTIONS = {n / d: f"{n}/{d}" if d > 1 else str(n) for d in range(64, 0, -1) for n in range(1, 10)}


def _fraction(x: float) -> str | None:
    """A factor that somebody may have chosen: a small integer, or one over a small integer, or a ratio of two."""
    near = min(_FRACTIONS, key=lambda value: abs(x - value))
    return _FRACTIONS[near] if abs(x - near) < 1e-5 * x else None


def find(subject: Subject, convention: Convention, by_defaults: bool = False) -> Match | None:
    """The loss of the catalogue that the subject equals, the plainest first; `by_defaults` tries no options."""
    scenes = _scenes(convention, FEW)
    theirs = _values(subject, convention, scenes)
    if theirs is None:
        return None
    proportional: Match | None = None
    for loss in candidates(convention, subject.name, by_defaults):
        factor = _factor(theirs[:1], _ours(loss, convention, scenes[:1]))  # most are told apart by one input
        if factor is not None:
            factor = _factor(theirs, _ours(loss, convention, scenes))
        if factor is None or (factor != 1 and proportional is not None):
            continue
        match = _confirm(subject, convention, loss)
        if match is not None and match.factor == 1:
            return match
        proportional = proportional or match
    return proportional


def explain(subject: Subject, convention: Convention, like: Loss) -> Match | None:
    """The change that turns `like` into the subject: two options exchanged, a second softmax, another mean."""
    for loss, change in changes(like, convention):
        match = _confirm(subject, convention, loss, change)
        if match is not None and (change or match.factor != 1):
            return dataclasses.replace(match, loss=like)
    return None


def equals(subject: Subject, convention: Convention, like: Loss) -> str | None:
    """None where the subject equals `like` on random inputs; else the first that shows the difference, in words."""
    scenes = _scenes(convention, INPUTS)
    theirs, ours = _values(subject, convention, scenes), _ours(like, convention, scenes)
    if theirs is None:
        return "it fails on some of them"
    bad = np.flatnonzero(~_close(theirs, ours))
    if not len(bad):
        return None
    first = int(bad[0])
    return (
        f"on {len(bad)} of {len(scenes)} random inputs it differs; on the first it is {theirs[first]:.6g}, "
        f"{like!r} {ours[first]:.6g}"
    )


def _confirm(subject: Subject, convention: Convention, loss: Loss, change: str = "") -> Match | None:
    scenes = _scenes(convention, INPUTS)
    theirs = _values(subject, convention, scenes)
    ours = _ours(loss, convention, scenes, doubly="second" in change)
    factor = None if theirs is None else _factor(theirs, ours)
    return None if factor is None else Match(loss, factor, change)


def _close(a: Any, b: Any) -> Any:
    return np.abs(a - b) <= 2e-5 * np.maximum(1e-2, np.abs(b))


def _factor(theirs: Any, ours: Any) -> float | None:
    """The constant c with theirs = c · ours, or None."""
    if not np.isfinite(ours).all() or not np.isfinite(theirs).all() or float(np.abs(ours).max()) < 1e-9:
        return None
    factor = float((theirs * ours).sum() / (ours * ours).sum())
    if _close(theirs, ours).all():
        return 1.0
    if factor <= 0 or _fraction(factor) is None or not _close(theirs, factor * ours).all():
        return None
    return factor


def _scenes(convention: Convention, count: int) -> list[Scene]:
    return [random_scene(convention, 1000 + seed) for seed in range(count)]


def _values(subject: Subject, convention: Convention, scenes: list[Scene]) -> Any:
    try:
        return np.array([_mean(subject.number(convention.render(s))) for s in scenes])
    except Exception:
        return None


def _mean(x: Any) -> float:
    """A loss that does not reduce is compared by its mean."""
    return float(np.asarray(x, dtype=float).mean())


def _ours(loss: Loss, convention: Convention, scenes: list[Scene], doubly: bool = False) -> Any:
    """Values of a loss of the catalogue, which takes logits with the classes on axis 1 and labels."""
    found: list[float] = []
    for scene in scenes:
        guess = probabilities(scene.guess, scene.kind) if doubly else scene.guess
        if convention.scores == "probabilities" and doubly:
            guess = probabilities(probabilities(scene.guess, scene.kind), scene.kind)
        batch = canonical(convention, dataclasses.replace(scene, guess=guess), _task(loss))
        try:
            with np.errstate(all="ignore"):  # a candidate may be tried outside its domain
                found.append(_mean(loss(batch.prediction, batch.target, **batch.keywords)))
        except (ValueError, TypeError):
            return np.full(len(scenes), np.nan)
    return np.array(found)


def _task(loss: Loss) -> str | None:
    return getattr(loss, "task", None)


def canonical(convention: Convention, scene: Scene, task: str | None = None) -> Batch:
    """A scene as the catalogue takes it. A loss of the multilabel task sees each class of several by itself."""
    by_class = task == "multilabel" and convention.kind == "multiclass"
    channel = convention.task == "segmentation" and convention.kind == "binary"
    return dataclasses.replace(
        convention,
        scores="logits" if convention.scores != "plain" else "plain",
        target="one-hot" if by_class else "labels",
        last=False,
        channel=channel,
    ).render(scene)


# --- candidates ------------------------------------------------------------------------------------------------------

_ADDITIONS: dict[str, tuple[object, ...]] = {
    "per": ("image", "batch"),
    "classes": ("all", "present"),
    "smooth": (0.0, 1e-5, 1e-6, 1e-7, 0.5, 1.0),
    "gamma": (0.0, 0.5, 1.0, 1.5, 2.0, 4 / 3),
    "alpha": (0.25, 0.75, 0.5),
    "label_smoothing": (0.1,),
    "squared": (True,),
    "beta": (0.5, 2.0),
    "fp_weight": (0.3, 0.7),
    "fn_weight": (0.7, 0.3),
    "delta": (0.5, 2.0),
    "quantile": (0.1, 0.9),
    "class_axis": (1,),
}
"""Values that other libraries take by default, tried together beside our own."""


def candidates(convention: Convention, name: str, by_defaults: bool = False) -> Iterator[Loss]:
    """Losses of the catalogue for a convention: each by its defaults, then with the options that others choose. Of two
    losses that are one for some options, that of the same name is what its reader expects: it comes first."""
    words = name.lower().replace("_", "")
    plain = [loss for cls in catalogue() for loss in _made(cls, convention)]
    plain.sort(key=lambda loss: type(loss).__name__.lower() not in words)
    yield from plain
    for loss in [] if by_defaults else plain:
        known = {name: annotation for name, _, annotation in loss.options()}
        chosen = [name for name in _ADDITIONS if name in known]
        for values in itertools.product(*(_domain(loss, name) for name in chosen)):
            settings = dict(zip(chosen, values, strict=True))
            try:
                yield loss.replace(**settings)
            except (ValueError, TypeError):
                continue


def _domain(loss: Loss, name: str) -> tuple[object, ...]:
    return tuple(dict.fromkeys((getattr(loss, name), *_ADDITIONS[name])))


def _made(cls: type[Loss], convention: Convention) -> Iterator[Loss]:
    """A class by its defaults, for the task of the convention; nothing where it is of another field."""
    kind = {"multiclass": "multiclass", "binary": "binary", "multilabel": "multilabel"}.get(convention.kind)
    families: tuple[str, ...] = {"boxes": ("box",), "values": ("residual", "pointwise"), "pairs": ()}.get(
        convention.kind, ("likelihood", "margin", "region")
    )
    if cls.family_name not in families or cls.operands != ((convention.role,) if convention.role else ()):
        return
    if not any(name == "task" for name, _, _ in cls.options()):
        if kind is None or not cls.tasks() or kind in cls.tasks():
            yield cls()
        return
    tasks: tuple[str | None, ...] = (kind, "multilabel") if kind == "multiclass" else (kind,)
    for task in tasks:  # "multilabel": every class against the rest
        if not cls.tasks() or task in cls.tasks():
            yield cls(task=task)  # pyright: ignore[reportCallIssue]


def changes(like: Loss, convention: Convention) -> Iterator[tuple[Loss, str]]:
    """Losses that are `like` with one mistake that people make, and the mistake in words."""
    yield like, ""
    if convention.kind == "multiclass" or convention.kind == "binary":
        name = "softmax" if convention.kind == "multiclass" else "sigmoid"
        yield like, f"after a second {name}"
    numbers = [name for name, _, _ in like.options() if isinstance(getattr(like, name), float)]
    for a, b in itertools.combinations(numbers, 2):
        if getattr(like, a) != getattr(like, b):
            try:
                yield like.replace(**{a: getattr(like, b), b: getattr(like, a)}), f"with {a} and {b} exchanged"
            except ValueError:
                continue
    alpha: Any = getattr(like, "alpha", None)
    if isinstance(alpha, float) and alpha < 1:
        yield like.replace(alpha=1 - alpha), "with alpha on the negatives"
    for name, values in _ADDITIONS.items():
        if any(name == option for option, _, _ in like.options()):
            for value in values:
                if value != getattr(like, name):
                    try:
                        yield like.replace(**{name: value}), f"with {name}={value!r}"
                    except (ValueError, TypeError):
                        continue
