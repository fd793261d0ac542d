"""Losses between sequences whose places do not correspond: a sum over alignments takes the place of a comparison."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Literal, NamedTuple

from lossary.array.alignments import IMPOSSIBLE, full
from lossary.array.namespace import Array, Namespace, eager, on_cpu, to_numpy
from lossary.array.primitives import length, numbers, running_sum, sizes
from lossary.core import contract
from lossary.core.families.elements import both, not_ignored, rank, weighted, wide
from lossary.core.loss import Loss, Taxonomy, family
from lossary.core.options import option
from lossary.core.reduction import Terms


@family
class SequenceLoss(Loss):
    """Losses of sequences, one number for each."""

    family_name: ClassVar[str] = "sequence"
    family_taxonomy: ClassVar[Taxonomy] = "sequence"


class Alignable(NamedTuple):
    """A prepared batch: scores and targets that the recursions may read whole, 0 where nothing is to be read."""

    xp: Namespace
    scores: Array  # (N, T, …, C), zeroed behind `lengths` and where a sequence does not count
    target: Array  # (N, S) of valid classes
    lengths: Array  # (N,)
    target_lengths: Array  # (N,)
    blank: int  # not negative
    single: bool  # whether the call was for one sequence, without the axis of samples
    counted: Array | None
    weight: Array | None


@family
class AlignmentLoss(SequenceLoss):
    """Minus the log-likelihood of the target, summed over its alignments with the frames of the prediction.

    The prediction holds logits with classes on the last axis and frames on the second, `lengths` (N,) says how many
    frames each sequence has. Targets are class indices, a padded matrix (N, S) or all of them one after the other,
    (Σ S_n,), with `target_lengths` (N,). What lies behind a length is never looked at. A sequence that has no alignment
    (too few frames, or a class of score -inf) is left out: its loss and gradient are 0 and it is not counted;
    `infeasible` tells which these are.

    Args:
        blank: the class that stands for no label; -1 is the last one.
        ignore_index: a label that is padding behind the target; the target is then as long as its other labels, and
            `target_lengths` need not be given.
        normalizer: what a mean counts, `"sequences"` or the `"tokens"` of their targets.
    """

    operands: ClassVar[tuple[str, ...]] = ("lengths", "target_lengths")
    optional: ClassVar[tuple[str, ...]] = ("lengths", "target_lengths")
    frame_axes: ClassVar[int] = 1
    """Axes of the prediction between samples and classes."""

    blank: int = option(default=0)
    ignore_index: int | None = option(default=None)
    normalizer: Literal["sequences", "tokens"] = option(default="sequences")

    @abc.abstractmethod
    def log_likelihood(self, batch: Alignable) -> Array:
        """log p(target), of shape (N,); below `IMPOSSIBLE / 2` where there is no alignment."""

    def infeasible(
        self,
        prediction: Array,
        target: Array,
        *,
        mask: Array | None = None,
        **operands: Array,
    ) -> Array:
        """Which sequences have no alignment, as a bool array (N,); they count for nothing in the loss.

        >>> import numpy as np, lossary
        >>> logits, target = np.zeros((2, 3, 4)), np.array([[1, 2, 3], [1, 1, 2]])  # 1, 1 needs a blank between
        >>> lossary.CTCLoss().infeasible(logits, target).tolist()
        [False, True]
        """
        batch = self.prepare(prediction, target, mask=mask, sample_weight=None, operands=operands)
        impossible = self.log_likelihood(batch) < IMPOSSIBLE / 2
        impossible = impossible[0] if batch.single else impossible
        return impossible if batch.counted is None else both(batch.xp, batch.counted, impossible)

    def evaluate(self, batch: Alignable) -> Terms:
        xp, likelihood, tokens = batch.xp, self.log_likelihood(batch), batch.target_lengths
        if batch.single:
            likelihood, tokens = likelihood[0], tokens[0]
        impossible = likelihood < IMPOSSIBLE / 2
        counted = both(xp, batch.counted, xp.logical_not(impossible))
        terms = weighted(xp, xp.where(impossible, 0.0, -likelihood), counted, batch.weight)
        if self.normalizer == "sequences":
            return terms
        # a sequence counts as often as it has labels
        mass = xp.where(counted, xp.astype(tokens, likelihood.dtype), 0.0)
        return Terms(terms.values, mass, mass if terms.weight is None else terms.weight * mass)

    # --- what a call gives ------------------------------------------------------------------------------------------

    def preparation_key(self) -> tuple[Any, ...]:
        return ("alignments", self.frame_axes, self.blank, self.ignore_index)

    def encode(self, given: contract.Arguments) -> Alignable:
        xp, prediction, others = given.xp, given.prediction, given.others
        single = self._is_single(prediction)
        shape = () if single else sizes(prediction)[:1]
        counted, weight = given.places(shape)
        integers = {a: self._integers(a, others[a]) for a in ("target", *self.operands) if a in others}
        scores = contract.cast(xp, prediction, given.dtype)
        if single:
            scores = xp.expand_dims(scores, axis=0)
            integers = {argument: xp.expand_dims(x, axis=0) for argument, x in integers.items()}
        blank = self._blank(scores)
        labels, lengths, target_lengths, sound = self._sequences(xp, scores, blank, integers, counted)
        if sound is not None:
            counted = both(xp, counted, sound[0] if single else sound)
        if counted is not None or "lengths" in integers:
            read = numbers(length(scores, 1), lengths)[None, :] < lengths[:, None]
            if counted is not None:
                read = xp.logical_and(read, xp.reshape(counted, (-1, 1)))
            for _ in range(self.frame_axes):
                read = xp.expand_dims(read, axis=-1)
            scores = xp.where(read, scores, 0.0)
        return Alignable(xp, scores, labels, lengths, target_lengths, blank, single, counted, weight)

    def _is_single(self, prediction: Array) -> bool:
        """Whether there is no axis of samples, as `vmap` over a batch has it."""
        axes = rank(prediction) - self.frame_axes - 1
        if axes not in (0, 1):
            expected = "(N, T, C)" if self.frame_axes == 1 else "(N, T, U + 1, C)"
            raise ValueError(
                f"{type(self).__name__}: `prediction` has shape {sizes(prediction)}; expected {expected}, samples "
                "first and classes last"
            )
        return axes == 0

    def _integers(self, argument: str, x: Array) -> Array:
        if not contract.is_integer(x):
            raise TypeError(f"{type(self).__name__}: `{argument}` must hold integers; got dtype {x.dtype}")
        return x

    def _blank(self, scores: Array) -> int:
        classes = sizes(scores)[-1]
        assert classes is not None
        if not -classes <= self.blank < classes:
            raise ValueError(f"{type(self).__name__}: blank={self.blank} is no class; there are {classes}")
        return self.blank % classes

    def _sequences(
        self, xp: Namespace, scores: Array, blank: int, given: dict[str, Array], counted: Array | None
    ) -> tuple[Array, Array, Array, Array | None]:
        """Labels (N, S), lengths, target lengths, and which sequences are sound where looking would wait."""
        name = type(self).__name__
        rows = full((length(scores, 0),), 0.0, scores)
        integers = {argument: wide(xp, x) for argument, x in given.items()}
        kind = xp.int64 if any(x.dtype == xp.int64 for x in integers.values()) else xp.int32
        integers = {argument: contract.cast(xp, x, kind) for argument, x in integers.items()}
        target, lengths = integers["target"], {a: integers[a] for a in self.operands if a in integers}
        for argument, x in lengths.items():
            if not contract.agree(sizes(rows), sizes(x)):
                raise ValueError(
                    f"{name}: `{argument}` has shape {sizes(x)}; expected {sizes(rows)}, a number for each sequence"
                )
        frames = lengths.get("lengths", xp.astype(rows, kind) + _length(xp, scores, 1, kind))
        if rank(target) == 1:
            if "target_lengths" not in lengths:
                raise TypeError(
                    f"{name}: a `target` of shape {sizes(target)} holds the labels of all sequences one after the "
                    "other; pass `target_lengths=...`, or a padded matrix (N, S)"
                )
            target = _padded(xp, name, target, lengths["target_lengths"], self._places(scores))
        self._check_target(scores, target)
        within = lengths.get("target_lengths")
        labels = not_ignored(xp, target, self.ignore_index)
        if within is None and labels is None:
            within = xp.astype(rows, kind) + _length(xp, target, 1, kind)
        elif within is None:
            within = xp.sum(xp.astype(labels, kind), axis=1)
            within = contract.cast(xp, within, kind)
        used = numbers(length(target, 1), target)[None, :] < within[:, None]
        sound = self._sound(xp, scores, blank, target, frames, within, used, counted)
        if sound is not None:
            used = xp.logical_and(used, sound[:, None])
            frames, within = (xp.where(sound, x, xp.zeros_like(x)) for x in (frames, within))
        return xp.where(used, target, xp.zeros_like(target)), frames, within, sound

    def _places(self, scores: Array) -> int | None:
        """How many labels a target may have, if the prediction says it."""
        return None

    def _check_target(self, scores: Array, target: Array) -> None:
        rows, found = sizes(scores)[:1], sizes(target)
        if len(found) != 2 or not contract.agree(rows, found[:1]):
            raise ValueError(
                f"{type(self).__name__}: `target` has shape {found}; expected ({rows[0]}, S), a row of labels for each "
                "sequence, or the labels of all one after the other with `target_lengths`"
            )

    def _sound(
        self,
        xp: Namespace,
        scores: Array,
        blank: int,
        target: Array,
        frames: Array,
        within: Array,
        used: Array,
        counted: Array | None,
    ) -> Array | None:
        """Which sequences hold possible labels and lengths. Eager code on a CPU raises instead, and gives None."""
        classes = (sizes(scores)[-1] or 1) - 1
        wrong = xp.logical_or(xp.logical_or(target < 0, target > classes), target == blank)
        labels = not_ignored(xp, target, self.ignore_index)
        if labels is not None:
            wrong = xp.logical_or(wrong, xp.logical_not(labels))
        wrong = xp.logical_and(used, wrong)
        longest = {
            "lengths": (frames, _length(xp, scores, 1, frames.dtype)),
            "target_lengths": (within, _length(xp, target, 1, within.dtype)),
        }
        seen = eager(wrong) and all(eager(x) for x, _ in longest.values())
        if seen and (on_cpu(target) or contract.checking(target)):
            asked = None if counted is None else to_numpy(counted).reshape(-1)
            for argument, (x, most) in longest.items():
                contract.within(type(self).__name__, argument, x, 0, most, asked)
            bad = to_numpy(wrong) if asked is None else to_numpy(wrong) & asked[:, None]
            if bad.any():
                self._refuse(target, bad, blank, classes)
            if asked is None or asked.all():
                return None
        sound = xp.logical_not(xp.any(wrong, axis=1))
        for x, most in longest.values():
            sound = xp.logical_and(sound, xp.logical_and(x >= 0, x <= most))
        return sound

    def _refuse(self, target: Array, bad: Any, blank: int, classes: int) -> None:
        value, position = contract.first_bad(target, bad)
        name, label = type(self).__name__, int(value)
        cure = f"If it is padding, pass `target_lengths`, or ignore_index={label}."
        if label == self.ignore_index:
            raise ValueError(
                f"{name}: the padding {label} at {position} stands before a label; it may only follow them"
            )
        if label == blank:
            raise ValueError(f"{name}: `target` holds the blank, {label}, at {position}; it is no label. {cure}")
        raise ValueError(f"{name}: label {label} at {position} is not in [0, {classes}]. {cure}")


def _length(xp: Namespace, x: Array, axis: int, kind: Any) -> Any:
    """The length of an axis as a number that may be added to integers of a dtype."""
    count = length(x, axis)
    return count if isinstance(count, int) else xp.astype(count, kind)


def _padded(xp: Namespace, name: str, target: Array, lengths: Array, places: int | None) -> Array:
    """Labels that follow one another, row under row."""
    known = eager(lengths) and on_cpu(lengths)
    if known and (total := int(to_numpy(lengths).sum())) != length(target, 0):
        raise ValueError(f"{name}: `target` holds {length(target, 0)} labels and `target_lengths` add up to {total}")
    if places is None:
        # while values are unknown, as many as there are labels at all
        places = max(0, int(to_numpy(lengths).max(initial=0))) if known else length(target, 0)
    begins = running_sum(lengths) - lengths
    index = begins[:, None] + numbers(places, lengths)[None, :]
    # what lies behind the labels is none: a row that reads it is not sound
    target = xp.concat([target, xp.zeros_like(lengths[:1]) - 1], axis=0)
    last = xp.zeros_like(index) + (_length(xp, target, 0, index.dtype) - 1)
    index = xp.where(xp.logical_and(index >= 0, index < last), index, last)
    return xp.reshape(xp.take(target, xp.reshape(index, (-1,)), axis=0), (length(lengths, 0), places))
