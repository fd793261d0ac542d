"""What every loss of labels shares: the task, the class axis, the link, which places count, how targets are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, cast

from lossary.array.namespace import Array, Namespace, is_sharded
from lossary.array.primitives import (
    along,
    bounded,
    flatten_from,
    log_softmax,
    lookup,
    pick,
    shares_backward,
    sigmoid,
    sizes,
    softmax,
    softmax_at,
    tiny,
)
from lossary.core import contract
from lossary.core.families.elements import (
    both,
    in_range,
    index_or_zero,
    keep,
    not_ignored,
    rank,
    readable,
    where_counted,
    wide,
)
from lossary.core.loss import Loss, family
from lossary.core.options import option

Task = Literal["binary", "multilabel", "multiclass"]


@dataclasses.dataclass
class ClassBatch:
    """A prepared batch of scores and labels.

    Exactly one of `labels` and `share` is set. `labels` holds valid class indices (multiclass; floating where labels
    may lie between classes) or, otherwise, the target as it came, above 0 where it is positive; `share` the probability
    that the target gives to each class, in the shape of `scores`.
    """

    xp: Namespace
    task: Task
    axis: int | None  # of the classes; None for binary
    scores: Array  # logits in the compute dtype, 0 where a place does not count
    labels: Array | None
    share: Array | None
    counted: Array | None
    weight: Array | None  # sample weights as given, with the rank of the unreduced loss
    distance: Array | None = None  # the map that the call gave, 0 where a place does not count
    wanted: frozenset[str] = frozenset()  # what will be read, by all parts of a sum: names of the methods below
    memo: dict[Any, Any] = dataclasses.field(default_factory=dict)  # pyright: ignore[reportUnknownVariableType]  # what they share

    @property
    def index(self) -> Array | None:
        """Class indices (multiclass) or, otherwise, a bool array; None where the target is soft."""
        if self.labels is None or self.task == "multiclass" or self.labels.dtype == self.xp.bool:
            return self.labels
        if "index" not in self.memo:
            self.memo["index"] = self.labels > 0
        return self.memo["index"]

    @property
    def target(self) -> Array:
        """The target of a task other than multiclass: labels, or the probability of yes."""
        return self.labels if self.share is None else self.share

    @property
    def classes(self) -> int:
        """How many classes lie along the class axis (1 for binary)."""
        count = 1 if self.axis is None else sizes(self.scores)[self.axis]
        if count is None:
            raise ValueError("the number of classes must be known while tracing; give the class axis a fixed size")
        return count

    @property
    def has_images(self) -> bool:
        """Whether the first axis of the labels numbers samples; a class axis of 0 is a sample without its batch."""
        return self.axis != 0 and len(sizes(self.scores)) > 0

    @property
    def spatial(self) -> tuple[int, ...]:
        """The axes of the scores that are neither samples nor classes."""
        first = 1 if self.has_images else 0
        return tuple(a for a in range(first, len(sizes(self.scores))) if a != self.axis)

    def places(self, x: Array, axis: int | None) -> Array:
        """`x` with its places joined into one axis: (N, C, places), or (N, places) of what has no class axis. N is 1
        for a sample without its batch."""
        if not self.has_images:
            x, axis = self.xp.expand_dims(x, axis=0), None if axis is None else axis + 1
        if axis is None:
            return flatten_from(x, 1)
        others = tuple(a for a in range(1, rank(x)) if a != axis)
        return flatten_from(self.xp.permute_dims(x, (0, axis, *others)), 2)

    def log_p(self) -> Array:
        """Log-probabilities of all classes (multiclass)."""
        assert self.axis is not None
        return self._once("log_p", log_softmax, self.scores, self.axis)

    def p(self) -> Array:
        """Probabilities of all classes; from the log-probabilities if these are needed anyway."""
        if self.task != "multiclass" or self.axis is None:
            return self._once("p", sigmoid, self.scores)
        if self._at_labels is not None:
            return self._at_labels[0]
        if self.wanted & {"log_p", "true_log_p"}:
            return self._once("p", self.xp.exp, self.log_p())
        return self._once("p", softmax, self.scores, self.axis)

    def true_log_p(self) -> Array:
        """The log-probability of the label (multiclass, class indices)."""
        assert self.index is not None
        assert self.axis is not None
        return pick(self.log_p(), self.index, self.axis) if self._at_labels is None else self._at_labels[1]

    def true_p(self) -> Array:
        """The probability of the label (multiclass, class indices)."""
        assert self.index is not None
        assert self.axis is not None
        if self._at_labels is None:
            return pick(self.p(), self.index, self.axis)
        return self.xp.exp(self._at_labels[1]) if "true_log_p" in self.wanted else self._at_labels[1]

    @property
    def _at_labels(self) -> tuple[Array, Array] | None:
        """The softmax and what it gives the labels, in one operation, if nothing but these is read of it."""
        if self.axis is None or self.index is None or not contract.is_integer(self.index) or "log_p" in self.wanted:
            return None
        if not self.wanted & {"true_log_p", "true_p"} or not shares_backward(self.scores):
            return None
        # along more than a few adjacent classes torch's own pass through log-softmax and gather is the faster one
        if self.wanted == frozenset({"true_log_p"}) and self.axis == rank(self.scores) - 1 and self.classes > 16:
            return None
        return self._once("at labels", softmax_at, self.scores, self.index, self.axis, "true_log_p" in self.wanted)

    def _once(self, name: str, make: Callable[..., Any], *arguments: Any) -> Any:
        if name not in self.memo:
            self.memo[name] = make(*arguments)
        return self.memo[name]


@family
class ClassificationLoss(Loss):
    """Losses of scores against labels.

    `task` says what the scores are: `"binary"`, one score per place, target of the same shape; `"multilabel"`, one
    score per class and place, `(N, C, *)`, target of the same shape; `"multiclass"`, `(N, C, *)` scores and `(N, *)`
    class indices or `(N, C, *)` distributions.

    Args:
        task: what the scores are.
        class_axis: the axis of the classes.
        ignore_index: the label of places that are left out of value, mean and gradient.
        class_weight: one number per class. `reduction="weighted_mean"` divides by their sum over the places.
    """

    task: Task = option(kw_only=False)
    class_axis: int = option(default=1)
    ignore_index: int | None = option(default=None)
    class_weight: Sequence[float] | None = option(default=None, low=0)

    reads_probabilities = True  # whether the scores are logits of probabilities (margins are not)
    one_per_class: ClassVar[tuple[str, ...]] = ("class_weight",)  # options that may hold one number per class
    weighs_linearly: ClassVar[bool] = True  # whether the mean is linear in `class_weight`; not if a ratio holds them
    hard_targets: ClassVar[bool] = False  # whether every place needs one true answer, as what sorts by it does
    reads_between = False  # whether a label may lie between two classes, as a number between two bins does

    def check_options(self) -> None:
        super().check_options()
        if self.task == "binary" and self.class_weight is not None:
            raise ValueError(
                "`class_weight` needs classes, and task='binary' has one; weigh positives with `pos_weight` or "
                "`alpha`, or places with `sample_weight`"
            )

    def preparation_key(self) -> tuple[Any, ...]:
        reads = (self.takes_logits, self.reads_probabilities, self.reads_between)
        return ("classes", self.task, self.class_axis, self.ignore_index, *reads)

    @property
    def takes_logits(self) -> bool:
        return True

    def encode(self, given: contract.Arguments) -> ClassBatch:
        xp, dtype, prediction, target = given.xp, given.dtype, given.prediction, given.target
        axis = self._axis(prediction)
        dense = self._target_is_dense(prediction, target, axis)
        shape = sizes(prediction) if self.task != "multiclass" else _without(sizes(prediction), axis)
        counted, weight = given.places(shape)
        if not (dense and self.task == "multiclass"):
            counted = both(xp, counted, not_ignored(xp, target, self.ignore_index))
        certain = None
        if dense and self.hard_targets:
            target, certain = self._hard_labels(xp, target, counted, axis)
            dense = False
        scores = contract.cast(xp, prediction, dtype)
        if contract.checking(prediction):
            self._check_scores(scores, axis, counted, contract.rounding(prediction))
        place_axis = axis if self.task == "multiclass" else None
        scores = keep(xp, counted, scores, place_axis)
        if certain is not None:
            wrong = both(xp, counted, xp.logical_not(certain))
            scores = keep(xp, xp.logical_not(wrong), scores, place_axis, fill=float("nan"))
        if not self.takes_logits:
            scores = self._logits(xp, scores)
        batch = ClassBatch(xp, self.task, axis, scores, None, None, counted, weight, wanted=frozenset({self.reads}))
        if dense:
            batch.share = self._share(xp, target, dtype, counted, axis)
        else:
            batch.labels, batch.counted = self._valid_labels(xp, target, counted, batch.classes)
        batch.weight = where_counted(xp, batch.counted, weight)
        self.check_batch(batch)
        return batch

    # --- shapes ---------------------------------------------------------------------------------------------------

    def _axis(self, prediction: Array) -> int | None:
        """The class axis as a non-negative number."""
        name, ndim = type(self).__name__, rank(prediction)
        if self.task == "binary":
            return None
        if ndim == 1 and self.class_axis in (1, -1):
            return 0  # one sample without its batch axis, as vmap gives it
        if not -ndim <= self.class_axis < ndim:
            raise ValueError(
                f"{name}: `prediction` has shape {sizes(prediction)}, which has no axis {self.class_axis} "
                "(`class_axis`) for the classes"
            )
        axis = self.class_axis % ndim
        classes = sizes(prediction)[axis]
        if classes == 1 and self.task == "multiclass":
            what = "a softmax over it is 1 whatever the score" if self.reads_probabilities else "a margin needs two"
            raise ValueError(
                f"{name}: `prediction` of shape {sizes(prediction)} has one class along axis {axis}, and {what}. For "
                "one score per place drop that axis, and use a loss with task='binary'."
            )
        return axis

    def check_batch(self, batch: ClassBatch) -> None:
        for option_name in self.one_per_class:
            numbers = cast("float | tuple[float, ...] | None", getattr(self, option_name))
            if batch.axis is not None and isinstance(numbers, tuple) and len(numbers) != batch.classes:
                raise ValueError(
                    f"{type(self).__name__}: `{option_name}` has {len(numbers)} numbers, but `prediction` of shape "
                    f"{sizes(batch.scores)} has {batch.classes} classes along axis {batch.axis}"
                )

    def _target_is_dense(self, prediction: Array, target: Array, axis: int | None) -> bool:
        """Whether a multiclass target is a distribution over classes; raises where it is neither that nor labels."""
        name = type(self).__name__
        p, t = sizes(prediction), sizes(target)
        if self.task != "multiclass":
            if axis is not None and contract.is_integer(target) and contract.agree(t, _without(p, axis)):
                raise ValueError(
                    f"{name}: `prediction` has shape {p} and `target` {t}, the shape of class indices; "
                    f"task='multilabel' takes an answer for each class, {p}. Pass the indices one-hot, or use "
                    "task='multiclass'."
                )
            contract.same_shape(name, prediction, target)
            return not contract.is_integer(target)
        assert axis is not None
        labels = _without(p, axis)
        if contract.agree(t, p):
            if self.ignore_index is not None:
                raise ValueError(
                    f"{name}: `ignore_index` marks integer labels, but `target` of shape {t} holds a distribution per "
                    "place; leave places out with `mask`"
                )
            return True
        if not contract.agree(t, labels):
            hint = ""
            if len(t) == len(p) and t[axis] == 1:
                hint = f" Drop the axis of length 1 at {axis}."
            elif len(t) == len(labels) and p[-1] is not None and contract.agree(t, p[:-1]):
                hint = " The classes seem to be on the last axis: pass class_axis=-1."
            raise ValueError(
                f"{name}: `prediction` has shape {p} with classes on axis {axis}, and `target` {t}; "
                f"expected class indices of shape {labels} or distributions of shape {p}.{hint}"
            )
        if not contract.is_integer(target) and not self.reads_between:
            raise TypeError(
                f"{name}: class indices must be integers; `target` of shape {t} has dtype {target.dtype}. "
                f"Convert it, or pass distributions of shape {p}."
            )
        return False

    # --- places and targets ---------------------------------------------------------------------------------------

    def _hard_labels(
        self, xp: Namespace, target: Array, counted: Array | None, axis: int | None
    ) -> tuple[Array, Array | None]:
        """One-hot targets and floating masks as labels. A place without one true answer raises where looking costs no
        wait; elsewhere the second array says where there is one, and the loss of the others is NaN."""
        if self.task == "multiclass":
            target = xp.astype(target, xp.float32)
            labels = xp.argmax(target, axis=axis)
            one = xp.sum(xp.astype(target != 0, xp.int32), axis=axis) == 1
            certain = xp.logical_and(one, xp.max(target, axis=axis) == 1)
        else:
            labels = target > 0
            certain = xp.logical_or(target == 0, target == 1)
            if not self.reads_probabilities:
                certain = xp.logical_or(certain, target == -1)
        if not readable(target):
            return labels, certain
        contract.certain(type(self).__name__, target, certain, counted, axis if self.task == "multiclass" else None)
        return labels, None

    def _valid_labels(
        self, xp: Namespace, target: Array, counted: Array | None, classes: int
    ) -> tuple[Array, Array | None]:
        """Labels as valid indices (multiclass) or as they came, and the places that count."""
        multiclass = self.task == "multiclass"
        if target.dtype == xp.bool:
            return (xp.astype(target, xp.int32) if multiclass else target), counted
        low = 0 if self.reads_probabilities or multiclass else -1
        high = classes - 1 if multiclass else 1
        counted = in_range(xp, type(self).__name__, "target", target, low, high, self.ignore_index, counted)
        if contract.is_integer(target):
            target = wide(xp, target)
        return (index_or_zero(xp, counted, target) if multiclass else target), counted

    def _share(self, xp: Namespace, target: Array, dtype: Any, counted: Array | None, axis: int | None) -> Array:
        """A target of probabilities, in the compute dtype."""
        if contract.checking(target):
            name = type(self).__name__
            if self.task == "multiclass":
                assert axis is not None
                contract.distribution(name, "target", target, axis, counted)
            else:
                hint = "This looks like a mask stored as 0 and 255: pass `mask > 127`." if _has_255(target) else ""
                contract.within(name, "target", target, 0 if self.reads_probabilities else -1, 1, counted, hint)
        return keep(xp, counted, contract.cast(xp, target, dtype), axis if self.task == "multiclass" else None)

    # --- links ----------------------------------------------------------------------------------------------------

    def _logits(self, xp: Namespace, p: Array) -> Array:
        """Probabilities through the inverse of the link. Adding the smallest normal number changes no other
        probability, and keeps value and slope of the logarithm finite at 0."""
        p = bounded(xp, p, 0.0, 1.0)
        if self.task == "multiclass":
            return xp.log(p + tiny(xp, p))
        return xp.log(p + tiny(xp, p)) - xp.log((1.0 - p) + tiny(xp, p))

    def _check_scores(self, scores: Array, axis: int | None, counted: Array | None, slack: float) -> None:
        name = type(self).__name__
        contract.looks_like_classes_last(name, sizes(scores), axis)
        classes = axis if self.task == "multiclass" else None
        if not self.takes_logits:
            if classes is None:
                contract.within(name, "prediction", scores, 0, 1, counted, "Logits need from_logits=True.", slack)
            else:
                contract.distribution(name, "prediction", scores, classes, counted)
        elif self.reads_probabilities:
            contract.looks_like_probabilities(name, scores, classes, counted)


@family
class ProbabilityLoss(ClassificationLoss):
    """Classification losses that read the scores as probabilities: logits through sigmoid or softmax.

    Args:
        from_logits: whether the prediction holds logits; False for probabilities.
    """

    from_logits: bool = option(default=True)

    @property
    def takes_logits(self) -> bool:
        return self.from_logits


def class_vector(xp: Namespace, values: Sequence[float], like: Array) -> Array:
    """One number per class as an array beside `like`."""
    if hasattr(like, "device") and hasattr(like, "new_tensor"):
        own, vector = cast("Any", type(like)), like.new_tensor(values)
        return own.from_local(vector, like.device_mesh) if is_sharded(like) else vector  # whole in each process
    return xp.asarray(values, dtype=like.dtype)


def by_class(batch: ClassBatch, values: Sequence[float], index: Array | None = None) -> Array:
    """The number of each place's class: by its label, or along the class axis of dense and multilabel targets."""
    vector = class_vector(batch.xp, values, batch.scores)
    index = batch.index if index is None else index
    if batch.task == "multiclass" and index is not None:
        return lookup(vector, index)
    assert batch.axis is not None
    return along(batch.xp, vector, rank(batch.scores), batch.axis)


def _without(shape: contract.Shape, axis: int | None) -> contract.Shape:
    return shape if axis is None else (*shape[:axis], *shape[axis + 1 :])


def _has_255(target: Array) -> bool:
    return bool((contract.to_numpy(target) == 255).any())
