"""What a comparison found, as plain data that goes to JSON and back."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

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
    prediction: np.ndarray | None = None  # outputs on the test split, for pictures; not stored


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


@dataclasses.dataclass
class Comparison:
    """The results of `compare`: `complete` is False if it was interrupted."""

    study: str
    contenders: tuple[Contender, ...]
    metrics: tuple[Column, ...]  # the first one ranks
    class_metric: str
    classes: tuple[str, ...]
    seeds: tuple[int, ...]
    setting: dict[str, Any]  # epochs, batch size, data, versions …
    runs: list[Run] = dataclasses.field(default_factory=list[Run])
    complete: bool = False
    seconds: float = 0.0

    def runs_of(self, label: str) -> list[Run]:
        return [run for run in self.runs if run.loss == label]

    def finished(self, label: str) -> list[Run]:
        return [run for run in self.runs_of(label) if run.status == "finished"]

    def to_dict(self) -> dict[str, Any]:
        """Plain types; a number that is not finite is None, as JSON has no name for it."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "runs"}
        fields["contenders"] = [dataclasses.asdict(c) for c in self.contenders]
        fields["metrics"] = [dataclasses.asdict(m) for m in self.metrics]
        fields["runs"] = []
        for run in self.runs:
            plain = {f.name: getattr(run, f.name) for f in dataclasses.fields(run) if f.name != "prediction"}
            fields["runs"].append({**plain, "epochs": [dataclasses.asdict(epoch) for epoch in run.epochs]})
        return _finite(fields)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Comparison:
        fields = dict(fields)
        fields["contenders"] = tuple(
            Contender(**{**c, "about": tuple((name, line) for name, line in c["about"])}) for c in fields["contenders"]
        )
        fields["metrics"] = tuple(Column(**m) for m in fields["metrics"])
        fields["classes"], fields["seeds"] = tuple(fields["classes"]), tuple(fields["seeds"])
        fields["runs"] = [
            Run(
                **{
                    **run,
                    "epochs": [Epoch(_number(e["loss"]), _numbers(e["validation"])) for e in run["epochs"]],
                    "test": _numbers(run["test"]),
                    "test_classes": [_number(value) for value in run["test_classes"]],
                }
            )
            for run in fields["runs"]
        ]
        return cls(**fields)

    def save(self, folder: Path) -> None:
        """Writes results.json whole or not at all: a reader never meets half a file."""
        scratch = folder / f".{FILE}.{os.getpid()}"
        scratch.write_text(json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        scratch.replace(folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Comparison:
        return cls.from_dict(json.loads((folder / FILE).read_text(encoding="utf-8")))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}  # pyright: ignore
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]  # pyright: ignore
    return value


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _numbers(values: dict[str, float | None]) -> dict[str, float]:
    return {name: _number(value) for name, value in values.items()}
