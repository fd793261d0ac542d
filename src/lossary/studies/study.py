"""A study: what every loss of a comparison has in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lossary.studies.data import Data
from lossary.studies.metrics import ClassMetric, Metric
from lossary.studies.results import Comparison

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the report that only this study has."""

    title: str
    lead: str  # one or two sentences above the pictures
    html: str  # trusted markup


@dataclasses.dataclass(frozen=True)
class Study:
    """A task with the data, model, training and measures that suit it.

    To add one: write a module beside `segmentation.py` that makes a `Study`, and enter it in `comparison.STUDIES`.
    The runner knows no task.
    """

    name: str  # as the command line calls it
    task: str  # given to losses that ask for one
    losses: tuple[str, ...]  # compared unless the user names others
    data: Callable[[], Data]
    load: Callable[[Path], Data]  # the user's own file
    model: Callable[[int, int], nn.Module]  # from the numbers of input channels and classes
    predict: Callable[[Tensor], Tensor]  # what metrics and pictures see of the model's outputs
    metrics: tuple[Metric, ...]  # the first one ranks
    class_metric: ClassMetric
    pictures: Callable[[Comparison, Data], Sequence[Section]]
    epochs: int
    batch_size: int
    learning_rate: float
