"""The losses that the suite tries: each class with its defaults, and with one option after another changed.

A new loss is picked up from its options; `lossary.checker.draws` makes batches for it.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Sequence

import lossary
from lossary.core import options
from lossary.core.families import ClassificationLoss, MaskLoss
from lossary.core.loss import Loss

chosen: tuple[type[Loss], ...] = lossary.catalogue()
"""The classes whose losses are tried; conftest.py leaves one of them for `--loss`, before the test modules ask."""


def tasks(cls: type[Loss]) -> list[str | None]:
    """The tasks a class can be made for, as `make` takes them; [None] where the call has no such option."""
    return list(cls.tasks()) if any(name == "task" for name, _, _ in cls.options()) else [None]


def make(cls: type[Loss], task: str | None, **settings: object) -> Loss:
    return cls(**({} if task is None else {"task": task}), **settings)


def loss_task(loss: Loss) -> str | None:
    return getattr(loss, "task", None)


@functools.cache
def defaults() -> tuple[Loss, ...]:
    """Every loss with its default options, for each of its tasks."""
    return tuple(make(cls, task) for cls in chosen for task in tasks(cls))


@functools.cache
def everything() -> tuple[Loss, ...]:
    """Every variant of every loss."""
    return tuple(loss for cls in chosen for loss in variants(cls))


@functools.cache
def variants(cls: type[Loss], crossed: bool = True) -> tuple[Loss, ...]:
    """The losses of a class that differ from the default in one option (or in one that needs a second), and some that
    differ in several whose code meets. What a family declares is tried with the first class of the family, because its
    code is the family's; and each option with the first task and with multiclass, because one label is read in one way
    for many and for one."""
    own = {*cls.__annotations__} if cls is not _first_of_family(cls) else {name for name, _, _ in cls.options()}
    found: dict[Loss, None] = {}
    for task in tasks(cls):
        found[make(cls, task)] = None
        for name, field, annotation in cls.options():
            if name in ("task", "empty") or name not in own:  # test_edges.py has the policies for an empty batch
                continue
            if task not in (tasks(cls)[0], "multiclass"):
                continue
            for value in _values(name, annotation, field.metadata["domain"]):
                together = {"reduction": "weighted_mean"} if name == "class_weight" else {}
                try:
                    found[make(cls, task, **{name: value}, **together)] = None
                except ValueError:
                    continue  # an option that this task refuses; test_errors has these
        if issubclass(cls, ClassificationLoss) and crossed:
            found |= dict.fromkeys(_crossed(cls, task))
    return tuple(found)


@functools.cache
def _first_of_family(cls: type[Loss]) -> type[Loss]:
    """Of those with the most tasks."""
    return max((c for c in lossary.catalogue() if c.family_name == cls.family_name), key=lambda c: len(c.tasks()))


def formulas(cls: type[Loss]) -> tuple[Loss, ...]:
    """The variants whose formula differs."""
    return variants(cls, crossed=cls is _first_of_family(cls))


@functools.cache
def on_frameworks() -> tuple[tuple[str, Loss], ...]:
    """Every formula on every framework. Options of one task stand for those of the others where the arithmetic is
    another library's."""
    default = set(defaults())
    return tuple(
        (framework, loss)
        for cls in chosen
        for loss in formulas(cls)
        for framework in ("torch", "jax", "tensorflow")
        if framework == "torch" or loss in default or getattr(loss, "task", None) in (None, *cls.tasks()[:1])
    )


def _values(name: str, annotation: object, domain: options.Domain) -> list[object]:
    """A few values of an option that its domain allows."""
    if name == "ignore_index":
        return [1, 255]
    if name in ("class_axis", "blank"):
        return [-1]
    if name == "chunk":
        return [2]
    values: list[object] = list(options.choices(annotation))
    for kind in typing.get_args(annotation) or (annotation,):
        if kind is bool:
            values += [True, False]
        elif kind is int:
            values += [v for v in (1, 3) if v in domain]
        elif kind is float:  # a fraction, and an odd whole number, which powers take another way
            values += [v for v in (domain.low, domain.high, 0.3, 5.0) if v in domain and abs(v) < 1e9]
        elif typing.get_origin(kind) is Sequence:
            item = typing.get_args(kind)[0]
            values.append((0, 2) if item is int else (0.5, 2.0, 0.0 if 0.0 in domain else 30.0, 1.25))
    return list(dict.fromkeys(values))


def _crossed(cls: type[Loss], task: str | None) -> list[Loss]:
    """Options whose code meets: ignored labels with weights, smoothing, every reduction and both scopes."""
    names = {name for name, _, _ in cls.options()}
    losses: list[Loss] = []
    for settings in (
        {
            "ignore_index": 1,
            "class_weight": (0.5, 2.0, 0.0, 1.25),
            "reduction": "weighted_mean",
            "label_smoothing": 0.2,
        },
        {"ignore_index": 255, "reduction": "none", "alpha": 0.25 if task != "multiclass" else (1.0, 2.0, 0.5, 0.25)},
        {"ignore_index": 255, "per": "batch", "classes": "present", "class_weight": (0.5, 2.0, 0.0, 1.25)},
        {"per": "batch", "reduction": "weighted_mean", "class_weight": (0.5, 2.0, 0.0, 1.25), "squared": True},
        {"reduction": "sum", "ignore_index": 255, "class_weight": (0.5, 2.0, 0.0, 1.25)},
        {
            "normalizer": "positives",
            "reduction": "weighted_mean",
            "class_weight": (0.5, 2.0, 0.0, 1.25),
            "counts": (90.0, 10.0) if task == "binary" else (1.0, 20.0, 3.0, 400.0),
        },
    ):
        known = {k: v for k, v in settings.items() if k in names}
        if known.get("reduction") not in (None, *options.choices(typing.get_type_hints(cls)["reduction"])):
            continue
        if isinstance(known.get("alpha"), float | tuple) and cls is not lossary.FocalLoss:
            known["alpha"] = 0.25
        if task == "binary":
            known.pop("class_weight", None)
        if issubclass(cls, MaskLoss):
            known.pop("classes", None)  # which has no "present"
        losses.append(make(cls, task, **known))
    return losses
