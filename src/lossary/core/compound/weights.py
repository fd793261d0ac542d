"""Sums whose weights are learned, or change as training goes on."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any, Self

from lossary.array.namespace import Array, is_array, namespace
from lossary.array.primitives import sizes
from lossary.core.compound.sums import SumLoss
from lossary.core.compound.terms import CompoundLoss, Prepared, added, read_terms, shown
from lossary.core.loss import Facts, Loss, family


@family
class UncertaintyWeightedLoss(CompoundLoss):
    r"""A sum whose weights are learned: each part is weighed by how sure the model is of it.

    $$L = \sum_i c_i\, w_i\, e^{-s_i} L_i + \frac{s_i}{2}, \qquad c_i = \tfrac12 \text{ for regression, else } 1$$

    s_i is the log-variance of task i. Kendall et al. 2018, Multi-Task Learning Using Uncertainty to Weigh Losses,
    equations 7 and 10.

    Use it for tasks of unlike units (metres and nats), where a fixed weight would have to be searched for. It does not
    help where one task should matter more than another: it equalises, and every part must be bounded below by 0, or its
    weight grows without end.

    The call needs `log_variances=` (K,), one for each part in the order of `names`, beginning at 0. They must be
    trained: `lossary.torch.Criterion(loss, learned={"log_variances": torch.zeros(K)})` owns them as parameters.

    Args:
        terms: a sum of losses, `MSELoss().on("depth") + CrossEntropyLoss().on("classes")`, or its (weight, loss) pairs.
            Which of them are regression their place in the catalogue says (`facts.taxonomy`).

    Shapes: those of the parts; `log_variances` (K,).

    Elsewhere: no library of losses has it; repositories differ by the ½: without it for regression, or with s_i in
    place of s_i/2, which moves the minimum of s_i by ln 2 and not that of the model.

    >>> import numpy as np, lossary
    >>> loss = lossary.UncertaintyWeightedLoss(lossary.MSELoss() + lossary.L1Loss())
    >>> float(loss(np.array([2.0]), np.array([0.0]), log_variances=np.zeros(2)))  # (4 + 2)/2
    3.0
    """

    operands = ("log_variances",)
    shared = ("log_variances",)
    weighed_by = "log_variances"

    facts = Facts(
        "Kendall et al. 2018, Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics",
        "1705.07115",
        (),
        (),
        "compound",
        (float("-inf"), float("inf")),
        1e4,
        True,
        None,
    )

    terms: SumLoss | tuple[tuple[float, Loss], ...] = dataclasses.field(kw_only=False)  # pyright: ignore

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", _terms(self.terms))
        super().__post_init__()

    def __repr__(self) -> str:
        return f"UncertaintyWeightedLoss({shown(self.pairs)})"

    def prepare(
        self, prediction: Any, target: Any, *, mask: Any, sample_weight: Any, operands: Mapping[str, Any]
    ) -> Prepared:
        batch = super().prepare(prediction, target, mask=mask, sample_weight=sample_weight, operands=operands)
        count = len(self.pairs)
        if not is_array(batch.operand) or sizes(batch.operand) != (count,):
            shape = sizes(batch.operand) if is_array(batch.operand) else type(batch.operand).__name__
            raise ValueError(
                f"UncertaintyWeightedLoss: `log_variances` must be an array of shape ({count},), one for each of "
                f"{', '.join(self.names)}; got {shape}"
            )
        return batch

    def combine(self, results: list[Array], operand: Any) -> Array:
        xp = namespace(operand)
        halves = [0.5 * w if _is_regression(loss) else w for w, loss in self.pairs]
        terms = [
            half * xp.exp(-operand[i]) * result + 0.5 * operand[i]
            for i, (half, result) in enumerate(zip(halves, results, strict=True))
        ]
        return added(terms)


@family
class ScheduledLoss(CompoundLoss):
    r"""A sum whose weights change with the step: `DiceLoss` first, a boundary loss later.

    $$L = \sum_i w_i\, a_i(\text{step})\, L_i$$

    a_i is piecewise linear through the points of its schedule, and constant before the first and after the last.

    Use it where a loss teaches only from a good start on (boundary losses, Lovász), or should fade (a teacher). The
    step is a value of the call, so that the loss itself stays a constant: nothing counts in secret, and a training that
    is resumed goes on where it was.

    The call needs `step=`, a number or a 0-d array; compiled code traces an array once for all steps.

    Args:
        terms: a sum of losses, or its (weight, loss) pairs.
        schedule: for some parts by name (see `names`), the points (step, factor), steps rising. The others keep their
            weight.

    Shapes: those of the parts; `step` has none.

    Elsewhere: users of MONAI and of the boundary loss's own code change a weight in the training loop by hand, which
    is what this is.

    >>> import numpy as np, lossary
    >>> both = lossary.L1Loss() + lossary.MSELoss()
    >>> loss = lossary.ScheduledLoss(both, {"l1": [(0, 1.0), (100, 0.0)], "mse": [(0, 0.0), (100, 1.0)]})
    >>> x, y = np.array([3.0]), np.array([0.0])
    >>> [float(loss(x, y, step=step)) for step in (0, 50, 1000)]
    [3.0, 6.0, 9.0]
    """

    operands = ("step",)
    shared = ("step",)
    weighed_by = "step"

    terms: SumLoss | tuple[tuple[float, Loss], ...] = dataclasses.field(kw_only=False)  # pyright: ignore
    schedule: Mapping[str, Any] | tuple[tuple[str, tuple[tuple[float, float], ...]], ...] = dataclasses.field(
        kw_only=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", _terms(self.terms))
        super().__post_init__()
        given = dict(self.schedule)
        for name in given:
            if name not in self.names:
                raise ValueError(f"`schedule` names no part {name!r}; the parts are {', '.join(self.names)}")
        kept = tuple((name, _points(name, given[name])) for name in self.names if name in given)
        if not kept:
            raise ValueError("`schedule` is empty: a sum of constant weights is written with + and *")
        object.__setattr__(self, "schedule", kept)

    def __repr__(self) -> str:
        return f"ScheduledLoss({shown(self.pairs)}, {dict(self.schedule)!r})"

    def prepare(
        self, prediction: Any, target: Any, *, mask: Any, sample_weight: Any, operands: Mapping[str, Any]
    ) -> Prepared:
        batch = super().prepare(prediction, target, mask=mask, sample_weight=sample_weight, operands=operands)
        step = batch.operand
        number = isinstance(step, (int, float)) and not isinstance(step, bool)
        if not number and not (is_array(step) and sizes(step) == ()):
            shape = f"shape {sizes(step)}" if is_array(step) else type(step).__name__
            raise ValueError(f"ScheduledLoss: `step` must be a number or a 0-d array; got {shape}")
        return batch

    def weights(self, step: Any) -> dict[str, Any]:
        """The weight of each part at a step: its own times that of its schedule.

        >>> import lossary
        >>> loss = lossary.ScheduledLoss(2 * lossary.L1Loss() + lossary.MSELoss(), {"l1": [(0, 1.0), (10, 0.0)]})
        >>> loss.weights(5)
        {'l1': 1.0, 'mse': 1.0}
        """
        points = dict(self.schedule)
        return {
            name: w * _at(points[name], step) if name in points else w
            for name, (w, _) in zip(self.names, self.pairs, strict=True)
        }

    def combine(self, results: list[Array], operand: Any) -> Array:
        return added([w * result for w, result in zip(self.weights(operand).values(), results, strict=True)])

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "schedule": {name: [list(p) for p in points] for name, points in self.schedule}}

    @classmethod
    def from_parts(cls, settings: Mapping[str, Any]) -> Self:
        return cls(read_terms(settings["parts"]), settings["schedule"])


def _terms(given: Any) -> tuple[tuple[float, Loss], ...]:
    return SumLoss.of(given).terms if isinstance(given, Loss) else tuple(given)


def _is_regression(loss: Loss) -> bool:
    from lossary.core.compound.outputs import OutputLoss

    return (loss.loss if isinstance(loss, OutputLoss) else loss).facts.taxonomy == "regression"


def _points(name: str, given: Any) -> tuple[tuple[float, float], ...]:
    points = tuple((float(step), float(factor)) for step, factor in given)
    rising = all(a[0] < b[0] for a, b in itertools.pairwise(points))
    if not points or not rising or not all(math.isfinite(x) for point in points for x in point):
        raise ValueError(f"`schedule` of {name!r} needs finite points (step, factor) with rising steps; got {given!r}")
    return points


def _at(points: tuple[tuple[float, float], ...], step: Any) -> Any:
    """The piecewise linear function through the points, as a sum over its pieces, so that nothing branches on a step
    that is traced."""
    value: Any = points[0][1]
    for (start, low), (end, high) in itertools.pairwise(points):
        inside = namespace(step).clip(step, min=start, max=end) if is_array(step) else min(max(step, start), end)
        value = value + (high - low) * ((inside - start) / (end - start))
    return value
