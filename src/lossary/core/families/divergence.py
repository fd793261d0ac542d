"""Losses between two distributions."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import apply_where, bounded, length, log_softmax, sizes, tiny
from lossary.core import contract
from lossary.core.families.elements import class_indices, keep, rank, weighted
from lossary.core.loss import Loss, Taxonomy, family
from lossary.core.options import option
from lossary.core.reduction import Terms

Form = Literal["logits", "log_probs", "probs"]


class Distributions(NamedTuple):
    """A prepared batch: log-probabilities of both sides along `axis`."""

    xp: Namespace
    axis: int
    log_p: Array  # of the prediction
    log_t: Array  # of the target
    counted: Array | None
    weight: Array | None
    labels: Array | None  # true classes, where the loss takes them as an operand


@family
class DivergenceLoss(Loss):
    """Losses Σ_c d(p_c, t_c) between a predicted and a target distribution along `class_axis`.

    Both have one shape; the unreduced loss has that shape without the class axis, so `reduction="mean"` is the mean per
    distribution (what torch calls "batchmean"). `prediction_form` and `target_form` say what the numbers are.

    Args:
        class_axis: the axis of the distributions.
        prediction_form: what the prediction holds: `"logits"`, `"log_probs"` or `"probs"`.
        target_form: what the target holds.
    """

    family_name: ClassVar[str] = "divergence"
    family_taxonomy: ClassVar[Taxonomy] = "distribution"

    class_axis: int = option(default=1)
    prediction_form: Form = option(default="logits")
    target_form: Form = option(default="probs")

    @abc.abstractmethod
    def values(self, xp: Namespace, log_p: Array, log_t: Array) -> Array:
        """The contribution of each class."""

    def preparation_key(self) -> tuple[Any, ...]:
        forms = (self.prediction_form, self.target_form if self.reads_target else None)
        return ("distributions", self.class_axis, *forms, self.takes)

    def encode(self, given: contract.Arguments) -> Distributions:
        name, xp, dtype, prediction, others = given.name, given.xp, given.dtype, given.prediction, given.others
        axis = self._axis(prediction)
        shape = (*sizes(prediction)[:axis], *sizes(prediction)[axis + 1 :])
        sides: list[tuple[str, Array, Form]] = [("prediction", prediction, self.prediction_form)]
        if self.reads_target:
            sides.append(("target", given.target, self.target_form))
            contract.same_shape(name, prediction, given.target)
            contract.compute_dtype(name, xp, given.target, "target")
        counted, weight = given.places(shape)
        labels = None
        if "labels" in others:
            classes = length(prediction, axis)
            labels, counted = class_indices(xp, name, "labels", others["labels"], shape, classes, counted)
        logs: list[Array] = []
        for argument, x, form in sides:
            if contract.checking(x):
                self._check_values(argument, x, form, axis, counted)
            # equal numbers are a distribution after a softmax, where logarithms of 0 would be none
            x = keep(xp, counted, contract.cast(xp, x, dtype), axis, fill=1.0 if form == "probs" else 0.0)
            logs.append(_log(xp, x, form, axis, floor=argument == "prediction"))
        return Distributions(xp, axis, logs[0], logs[-1], counted, weight, labels)

    def evaluate(self, batch: Distributions) -> Terms:
        values = batch.xp.sum(self.values(batch.xp, batch.log_p, batch.log_t), axis=batch.axis)
        return weighted(batch.xp, values, batch.counted, batch.weight)

    def _axis(self, prediction: Array) -> int:
        ndim = rank(prediction)
        if ndim == 1 and self.class_axis in (1, -1):
            return 0
        if not -ndim <= self.class_axis < ndim:
            raise ValueError(
                f"{type(self).__name__}: `prediction` has shape {sizes(prediction)}, which has no axis "
                f"{self.class_axis} (`class_axis`) for the classes"
            )
        axis = self.class_axis % ndim
        if sizes(prediction)[axis] == 1:
            raise ValueError(
                f"{type(self).__name__}: `prediction` of shape {sizes(prediction)} has one class along axis {axis}, "
                "whose probability is always 1. For one score per place use a loss with task='binary'."
            )
        return axis

    def _check_values(self, argument: str, x: Array, form: Form, axis: int, counted: Array | None) -> None:
        name = type(self).__name__
        if form == "probs":
            contract.distribution(name, argument, x, axis, counted)
        elif form == "log_probs":
            probabilities = np.exp(contract.to_numpy(x).astype("float64"))
            contract.distribution(name, f"exp({argument})", probabilities, axis, counted)
        else:
            contract.looks_like_probabilities(name, x, axis, counted)


def _log(xp: Namespace, x: Array, form: Form, axis: int, floor: bool) -> Array:
    """Log-probabilities. A probability of 0 becomes -inf, with slope 0, in the target, where the formulas know its
    limit; in the prediction it reads as the smallest normal number, so that the loss stays finite and still teaches."""
    if form == "logits":
        return log_softmax(x, axis)
    if form == "log_probs":
        return x
    x = bounded(xp, x, 0.0, 1.0)
    if floor:
        return xp.log(x + tiny(xp, x))
    return apply_where(xp, x > 0, xp.log, x, float("-inf"))
