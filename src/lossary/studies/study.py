"""A study: what every loss of a comparison has in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossary.core.loss import Loss
from lossary.studies.data import Data
from lossary.studies.metrics import ClassMetric, Metric
from lossary.studies.results import Comparison

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lossary.studies.training import Criterion


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the report that only this study has."""

    title: str
    lead: str  # one or two sentences above the pictures
    html: str  # trusted markup


def _classes(classes: int) -> int:
    return classes


@dataclasses.dataclass(frozen=True)
class Beside:
    """The part of a criterion that is the same for all losses of a comparison."""

    loss: str  # its spec, unless the user names another
    task: str  # given to it if it asks for one
    join: Callable[[Criterion, Loss], Criterion]  # what trains the model, from a loss that is compared and this one


@dataclasses.dataclass(frozen=True)
class Study:
    """A task with the data, model, training and measures that suit it.

    To add one: write a module beside `segmentation.py` that makes a `Study`, and enter it in `comparison.STUDIES`.
    The runner knows no task.
    """

    name: str  # as the command line calls it
    task: str  # given to losses that ask for one; empty where none does
    losses: tuple[str, ...]  # compared unless the user names others
    data: Callable[[], Data]
    load: Callable[[Path], Data]  # the user's own file
    model: Callable[[int, int], nn.Module]  # from the numbers of input channels and classes
    predict: Callable[[Tensor], Tensor]  # what metrics and pictures see of the model's outputs
    metrics: tuple[Metric, ...]  # the first one ranks
    class_metric: ClassMetric | None  # None where classes have no score of their own
    pictures: Callable[[Comparison, Data], Sequence[Section]]
    epochs: int
    batch_size: int
    learning_rate: float
    class_axis: int | None = 1  # of the model's outputs; None where they are no classes
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    """Given to losses that have them, where a spec does not say them."""
    criteria: Mapping[str, Callable[[], Criterion]] = dataclasses.field(
        default_factory=dict[str, "Callable[[], Criterion]"]
    )
    """What may be named beside the losses of the catalogue; a criterion with `advance` is told how far training is."""
    outputs: Callable[[int], int] = _classes  # channels of the model's output, from the number of classes
    beside: Beside | None = None  # where a model learns two things, and the losses compared are for one of them
