"""What a comparison found, as plain data that goes to JSON and back."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from lossary.studies.files import write_whole

Status = Literal["finished", "diverged", "interrupted"]

FILE = "results.json"


@dataclasses.dataclass
class Epoch:
    """One pass over the training data."""

    loss: float  # mean training loss
    validation: dict[str, float]  # metrics after the epoch


@dataclasses.dataclass
class Run:
    """One training with one loss from one seed."""

    loss: str  # the label of its contender
    seed: int
    status: Status = "interrupted"  # until it ends otherwise
    note: str = ""  # where it diverged
    epochs: list[Epoch] = dataclasses.field(default_factory=list[Epoch])
    test: dict[str, float] = dataclasses.field(default_factory=dict[str, float])
    test_classes: list[float] = dataclasses.field(default_factory=list[float])  # the per-class metric
    seconds: float = 0.0
    weights: str = ""  # fingerprint of the weights it started from
    batches: str = ""  # fingerprint of the batches it was trained on, in order


@dataclasses.dataclass(frozen=True)
class Contender:
    """A loss that takes part."""

    label: str  # as the user wrote it
    definition: str  # with its options
    about: tuple[tuple[str, str], ...]  # name and one line on each of its parts
    config: dict[str, Any] | None  # what `lossary.from_dict` reads; None for other callables


@dataclasses.dataclass(frozen=True)
class Column:
    """A metric as results show it."""

    name: str
    label: str
    better: Literal["high", "low"]
    every_epoch: bool = True  # whether the epochs of a run have it too


@dataclasses.dataclass
class Comparison:
    """The results of `compare`: `complete` is False if it was interrupted."""

    study: str
    contenders: tuple[Contender, ...]
    metrics: tuple[Column, ...]  # the first one ranks
    class_metric: str  # empty where there is none
    classes: tuple[str, ...]  # those that have a score of their own
    seeds: tuple[int, ...]
    setting: dict[str, Any]  # epochs, batch size, data, versions …
    runs: list[Run] = dataclasses.field(default_factory=list[Run])
    complete: bool = False
    seconds: float = 0.0
    # of the first seed, by loss, on the test split; for pictures, not stored
    predictions: dict[str, np.ndarray] = dataclasses.field(default_factory=dict[str, np.ndarray], repr=False)

    def runs_of(self, label: str) -> list[Run]:
        return [run for run in self.runs if run.loss == label]

    def finished(self, label: str) -> list[Run]:
        return [run for run in self.runs_of(label) if run.status == "finished"]

    def to_dict(self) -> dict[str, Any]:
        """Plain types, without predictions; a number that is not finite is None, as JSON has no name for it."""
        fields = dataclasses.asdict(dataclasses.replace(self, predictions={}))
        del fields["predictions"]
        return _finite(fields)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Comparison:
        lists: dict[str, Any] = {
            "contenders": tuple(_contender(contender) for contender in fields["contenders"]),
            "metrics": tuple(Column(**metric) for metric in fields["metrics"]),
            "classes": tuple(fields["classes"]),
            "seeds": tuple(fields["seeds"]),
            "runs": [_run(run) for run in fields["runs"]],
        }
        return cls(**{**fields, **lists})

    def save(self, folder: Path) -> None:
        """Writes results.json."""
        write_whole(folder / FILE, json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Comparison:
        return cls.from_dict(json.loads((folder / FILE).read_text(encoding="utf-8")))


def _contender(fields: dict[str, Any]) -> Contender:
    about: Any = tuple(tuple(line) for line in fields["about"])
    return Contender(**{**fields, "about": about})


def _run(fields: dict[str, Any]) -> Run:
    numbers: dict[str, Any] = {
        "epochs": [Epoch(_number(epoch["loss"]), _numbers(epoch["validation"])) for epoch in fields["epochs"]],
        "test": _numbers(fields["test"]),
        "test_classes": [_number(value) for value in fields["test_classes"]],
    }
    return Run(**{**fields, **numbers})


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        return {key: _finite(item) for key, item in items.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in cast("list[Any]", value)]
    return value


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _numbers(values: dict[str, float | None]) -> dict[str, float]:
    return {name: _number(value) for name, value in values.items()}
