"""The regression experiment of the DIoU paper (Zheng et al. 2020, section 3.2), with true gradients.

Seven targets of area 1 and ratios 1:4 to 4:1 stand at (10, 10). Predictions start at centres in a disk of radius 3
around it, at seven areas and seven ratios each, and descend the gradient of a loss for 200 steps. How far they end
from the target is the error of the loss.

The curves that the paper prints come from gradients written by hand that are not those of its losses: the intersection
of disjoint boxes is not clamped for GIoU, widths and heights move twice as far, and a sign in the c² term is flipped.
Here the gradient is that of the loss, and the order of the losses is another one.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lossary.core.families import BoxLoss
from lossary.core.loss import Loss
from lossary.studies.errors import InputError

if TYPE_CHECKING:
    import torch

RATIOS = (1 / 4, 1 / 3, 1 / 2, 1.0, 2.0, 3.0, 4.0)
AREAS = (0.5, 0.67, 0.75, 1.0, 1.33, 1.5, 2.0)
CENTER, RADIUS, STEPS = (10.0, 10.0), 3.0, 200
VARIANTS = len(RATIOS) ** 2 * len(AREAS)
"""Cases at one centre: 7 areas and 7 ratios of the prediction, for each of 7 targets."""
CASES = (34_300, 1_715_000)
"""With 100 centres the sums are those of 5000 within 2 %, because the centres lie evenly."""

_BLOCK = 49 * VARIANTS
"""Cases that run at once: some tens of megabytes, whatever their number."""

Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclasses.dataclass(frozen=True)
class Cases:
    """Where the predictions start, and their targets.

    >>> Cases(34_300).centers.shape
    (100, 2)
    """

    number: int

    def __post_init__(self) -> None:
        if self.number < VARIANTS or self.number % VARIANTS:
            raise InputError(
                f"the number of cases must be a multiple of {VARIANTS} (7 areas, 7 ratios and 7 targets at each "
                f"centre), such as {CASES[0]} or {CASES[1]}; got {self.number}"
            )

    @functools.cached_property
    def centers(self) -> Numbers:
        """Of the predictions: on a spiral of the golden angle, which covers the disk evenly."""
        n = self.number // VARIANTS
        i = np.arange(n) + 0.5
        radius, angle = RADIUS * np.sqrt(i / n), i * math.pi * (3 - math.sqrt(5))
        return np.array(CENTER) + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)

    def block(self, start: int, stop: int) -> tuple[Numbers, Numbers]:
        """Predictions and targets (cases, 4) as centre and size, of the centres from `start` to `stop`."""
        centers = self.centers[start:stop]
        starts = [_sides(area, ratio) for area in AREAS for ratio in RATIOS]
        ends = [_sides(1.0, ratio) for ratio in RATIOS]
        size = np.array([(*s, *t) for s in starts for t in ends])
        count = len(centers)
        prediction = np.concatenate([np.repeat(centers, VARIANTS, axis=0), np.tile(size[:, :2], (count, 1))], axis=1)
        target = np.concatenate([np.tile(CENTER, (count * VARIANTS, 1)), np.tile(size[:, 2:], (count, 1))], axis=1)
        return prediction, target


def _sides(area: float, ratio: float) -> tuple[float, float]:
    return math.sqrt(area * ratio), math.sqrt(area / ratio)


@dataclasses.dataclass(frozen=True)
class Regression:
    """What one loss did."""

    loss: str
    errors: Numbers  # Σ|Δx|+|Δy|+|Δw|+|Δh| over the cases after each step, (STEPS,), scaled to 1,715,000 cases
    surface: Numbers  # mean error at the end of the cases of each centre, (centres,)
    iou: float  # mean at the end
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self)
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fields.items()}


def simulate(
    losses: Sequence[Loss] | dict[str, Loss],
    cases: int = CASES[0],
    *,
    progress: Callable[[str, int], None] = lambda loss, done: None,
) -> Iterator[Regression]:
    """Runs the experiment with one loss after the other, and yields what each did as soon as it is done.

    Args:
        losses: losses of boxes, or sums of them; a dict gives them names.
        cases: how many; a multiple of 343 times the number of centres, 34,300 to 1,715,000.
        progress: called with the name of the loss and the number of cases done so far.

    >>> import lossary
    >>> result, = simulate([lossary.GIoULoss()], cases=343)
    >>> bool(result.errors[0] > result.errors[-1])
    True
    """
    named = losses if isinstance(losses, dict) else {repr(loss): loss for loss in losses}
    everything, prepared = Cases(cases), {name: in_centers(loss) for name, loss in named.items()}
    return (_regress(name, loss, everything, progress) for name, loss in prepared.items())


def in_centers(loss: Loss) -> Loss:
    """The loss on boxes given as centre and size, unreduced: what the experiment descends.

    Raises:
        InputError: it is no loss of boxes.
    """
    from lossary.core.compound import SumLoss

    if isinstance(loss, SumLoss):
        return SumLoss(tuple((weight, in_centers(part)) for weight, part in loss.terms))
    if not isinstance(loss, BoxLoss):
        raise InputError(f"{type(loss).__name__} is no loss of boxes; `lossary list --family box` shows them")
    # a loss that is a mean of its own kind (normalised Focal-EIoU) descends its unreduced values too
    return loss.replace(format="cxcywh", reduction="none")


def _regress(name: str, loss: Loss, cases: Cases, progress: Callable[[str, int], None]) -> Regression:
    import torch

    from lossary import boxes

    begun = time.perf_counter()
    errors, overlap = np.zeros(STEPS), 0.0
    surface: list[Numbers] = []
    step = _BLOCK // VARIANTS
    for start in range(0, len(cases.centers), step):
        prediction, target = (torch.from_numpy(x) for x in cases.block(start, start + step))  # pyright: ignore
        for i in range(STEPS):
            prediction = descend(loss, prediction, target, i)
            errors[i] += float((prediction - target).abs().sum())
        surface.append((prediction - target).abs().sum(1).reshape(-1, VARIANTS).mean(1).numpy())
        overlap += float(boxes.iou(prediction, target, format="cxcywh").sum())
        progress(name, min(start + step, len(cases.centers)) * VARIANTS)
    scale = CASES[1] / cases.number
    return Regression(
        name, errors * scale, np.concatenate(surface), overlap / cases.number, time.perf_counter() - begun
    )


def descend(loss: Loss, prediction: torch.Tensor, target: torch.Tensor, step: int) -> torch.Tensor:
    """The boxes after one step: against the gradient, faster where the overlap is small, as the paper has it."""
    import torch

    from lossary import boxes

    rate = 0.1 if step < 160 else 0.01 if step < 180 else 0.001
    leaf = prediction.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf, target).sum(), leaf)
    with torch.no_grad():
        hurry = 2.0 - boxes.iou(prediction, target, format="cxcywh")
        return prediction - rate * hurry[:, None] * gradient


def trajectory(loss: Loss, start: Sequence[float], target: Sequence[float]) -> Numbers:
    """The boxes of one case, before the first step and after each: (STEPS + 1, 4) as centre and size."""
    import torch

    loss = in_centers(loss)
    box, truth = (torch.tensor([values], dtype=torch.float64) for values in (start, target))
    boxes = [box]
    for step in range(STEPS):
        boxes.append(descend(loss, boxes[-1], truth, step))
    return torch.cat(boxes).numpy()
