"""Losses of places and regions together, as the literature names them. Free sums are written with `+`."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any

from lossary.array.namespace import Array, Namespace, namespace
from lossary.array.primitives import (
    along,
    class_sums,
    clip,
    divide,
    focal,
    log_odds,
    log_sigmoid,
    numbers,
    pick,
    power,
    sizes,
    sqrt,
    total,
)
from lossary.core.families import ClassBatch, Counts, NamedSumLoss
from lossary.core.families.balanced import GroupSums
from lossary.core.families.classification import ProbabilityLoss, by_class, class_vector
from lossary.core.families.elements import rank, times, weighted
from lossary.core.loss import Loss, family, loss
from lossary.core.options import option
from lossary.core.reduction import Mean, Terms, finalize_mean, mean_statistics
from lossary.losses.region.overlap import DiceLoss, TverskyLoss


@loss(
    "Taghanaki et al. 2019, Combo Loss: Handling Input and Output Imbalance in Multi-Organ Segmentation",
    arxiv="1805.02798",
    surveys=("S3",),
    keeps=11.1,
)
class ComboLoss(NamedSumLoss):
    r"""Dice loss and a cross entropy in which misses and false alarms have their own weights.

    $$\ell = \alpha\,E\big[-\beta\,t\ln p - (1-\beta)(1-t)\ln(1-p)\big] + (1-\alpha)(1 - Dice)$$

    Use it to steer between recall (β > ½) and precision (β < ½) while Dice sees to the imbalance. Without a wish of
    that kind `DiceLoss + CrossEntropyLoss` is simpler.

    Args:
        weight: α, the share of the cross entropy.
        beta: β, the weight of positives; negatives have 1-β.
        per, classes, smooth: of the Dice part, see `RegionLoss`.

    Shapes: as classification; there is no unreduced loss. At least 0. The mean E is over places and classes: with
    `"multiclass"` every class is one question against the rest, of softmax probabilities, as in the paper. Weights of a
    place there are those of its label.

    Elsewhere: the paper subtracts Dice in place of adding 1 - Dice, so it can fall below 0, and sums it over classes
    where this is a mean. For one class the two differ by the constant 1-α. The copy in the code of Yeung et al. has
    only the positive term.

    >>> import numpy as np, lossary
    >>> logits, target = np.zeros((1, 4)), np.array([[1, 1, 0, 0]])  # ½·½ ln 2 + ½·½
    >>> round(float(lossary.ComboLoss("binary")(logits, target)), 4)
    0.4233
    """

    weight: float = option(default=0.5, low=0, high=1)
    beta: float = option(default=0.5, low=0, high=1)

    def terms(self) -> tuple[tuple[float, Loss], ...]:
        places = OneVsRest(**self.common(), beta=self.beta)
        return (self.weight, places), (1.0 - self.weight, DiceLoss(**self.region()))


@loss(
    "Wong et al. 2018, 3D Segmentation with Exponential Logarithmic Loss for Highly Unbalanced Object Sizes, eq. 1-3",
    arxiv="1809.00076",
    aliases=("exponential_logarithmic", "elloss"),
    surveys=("S3",),
    keeps=12.2,
)
class ExpLogLoss(NamedSumLoss):
    r"""Powers of the logarithms of Dice and of the likelihood: steep where an object is nearly lost.

    $$\ell = w_D\,E_c\big[(-\ln Dice_c)^{\gamma_D}\big] + w_C\,E_x\big[w_y\,(-\ln p_y)^{\gamma_C}\big], \qquad
      w_y = \sqrt{\textstyle\sum_k f_k / f_y}$$

    with y the label of the place x and f the frequencies of the labels. Use it for many objects of very unlike size.
    With γ below 1 the slope grows without bound towards a perfect answer (where it is taken as 0), so it does not come
    to rest; with γ = 1 and more it is tame.

    Args:
        dice_weight: w_D.
        cross_weight: w_C.
        gamma_dice: γ_D.
        gamma_cross: γ_C.
        counts: f, how often each label occurs in the training set; two numbers (negatives, positives) in a binary task.
            None takes those of the batch, which is exact over shards too. In a multilabel task each class has its own
            negatives and positives in the batch; given numbers weigh the classes.
        per, classes: of the Dice part, see `RegionLoss`.
        smooth: of the Dice part; the paper's 1 counts one place more as found. It must be above 0, or -ln Dice is
            infinite where nothing overlaps.

    Shapes: as classification; there is no unreduced loss. At least 0. Soft targets are expectations. w_y belongs to the
    formula: both means divide as if it were not there.

    Elsewhere: SegLossOdyssey's `ExpLog_loss` averages Dice before the logarithm, leaves the cross entropy as it is, and
    gives NaN gradients at a perfect Dice.

    >>> import numpy as np, lossary
    >>> logits, target = np.zeros((1, 4)), np.array([[1, 1, 0, 0]])  # Dice 3/5, p = ½, w = √2
    >>> loss = lossary.ExpLogLoss("binary", gamma_dice=1, gamma_cross=1)
    >>> round(float(loss(logits, target)), 4)  # .8 ln(5/3) + .2 √2 ln 2
    0.6047
    """

    one_per_class = ("class_weight", "counts")

    dice_weight: float = option(default=0.8, low=0)
    cross_weight: float = option(default=0.2, low=0)
    gamma_dice: float = option(default=0.3, above=0)
    gamma_cross: float = option(default=0.3, above=0)
    counts: Sequence[float] | None = option(default=None, above=0)
    smooth: float = option(default=1.0, above=0)

    def check_options(self) -> None:
        super().check_options()
        if self.task == "binary" and self.counts is not None and len(self.counts) != 2:
            raise ValueError(
                f"`counts` in a binary task must hold two numbers, negatives and positives; got {len(self.counts)}"
            )

    def terms(self) -> tuple[tuple[float, Loss], ...]:
        cross = ExponentialCross(**self.common(), gamma=self.gamma_cross, counts=self.counts)
        return (self.dice_weight, ExponentialDice(**self.region(), gamma=self.gamma_dice)), (self.cross_weight, cross)


@loss(
    "Yeung et al. 2022, Unified Focal loss: Generalising Dice and cross entropy-based losses",
    arxiv="2102.04525",
    surveys=("S3",),
    keeps=18.0,
)
class UnifiedFocalLoss(NamedSumLoss):
    r"""Focal loss and focal Tversky loss with shared options.

    $$\ell = \lambda\,E\big[\delta_y\,(1-p_y)^{\gamma}\,(-\ln p_y)\big] + (1-\lambda)\,E_c\big[(1-TI_c)^{1-\gamma}\big],
      \qquad TI = \frac{TP+s}{TP + \delta\,FN + (1-\delta)\,FP + s}$$

    with δ_y = δ for foreground and 1-δ for background, which is class 0 (multiclass) or a negative. Use it for small
    foreground with three options in place of six. For γ above 0 the power of the Tversky loss is below 1 and its slope
    grows without bound towards a perfect mask (where it is taken as 0).

    Args:
        weight: λ, the share of the focal loss.
        delta: δ, on misses and on foreground; above ½ misses cost more than false alarms.
        gamma: γ, how far easy background fades and hard classes are enhanced; 0 is cross entropy and Tversky loss.
        asymmetric: whether foreground keeps its whole cross entropy and background its plain Tversky loss: only the
            background fades, only the foreground is enhanced.
        per, classes, smooth: of the Tversky part, see `RegionLoss`.

    Shapes: as classification; there is no unreduced loss. At least 0. Soft targets are expectations. In binary and
    multilabel tasks every region is foreground.

    Elsewhere: the paper writes the symmetric form with γ and 1-γ exchanged; the authors' code and the asymmetric form
    have them as here, and at the default of ½ they are one. The paper sums over classes, that code averages, and puts λ
    on the Tversky loss. MONAI's `AsymmetricUnifiedFocalLoss` takes probabilities of two classes, and averages the focal
    loss over them too, which halves it.

    >>> import numpy as np, lossary
    >>> logits, target = np.zeros((1, 4)), np.array([[1, 1, 0, 0]])  # focal: mean of .6 and .4 times √½ ln 2; TI ½
    >>> round(float(lossary.UnifiedFocalLoss("binary")(logits, target)), 4)
    0.4761
    """

    weight: float = option(default=0.5, low=0, high=1)
    delta: float = option(default=0.6, low=0, high=1)
    gamma: float = option(default=0.5, low=0, below=1)
    asymmetric: bool = option(default=False)

    def terms(self) -> tuple[tuple[float, Loss], ...]:
        own: dict[str, Any] = {"gamma": self.gamma, "asymmetric": self.asymmetric}
        focal = UnifiedFocal(**self.common(), delta=self.delta, **own)
        region = {**self.region(), "fp_weight": 1.0 - self.delta, "fn_weight": self.delta}
        return (self.weight, focal), (1.0 - self.weight, UnifiedTversky(**region, **own))


# --- parts: losses of regions -----------------------------------------------------------------------------------------


@family
class ExponentialDice(DiceLoss):
    """(-ln Dice)^γ."""

    gamma: float = option(default=0.3, above=0)

    def values(self, xp: Namespace, counts: Counts) -> Array:
        # -ln((2TP+s)/(2TP+errors+s)), whose digits do not depend on how near Dice is to 1
        log = xp.log1p((counts.fp + counts.fn) / (2.0 * counts.tp + self.smooth))
        return power(xp, log, self.gamma)


@family
class UnifiedTversky(TverskyLoss):
    """(1-TI)^(1-γ); of background, class 0, 1-TI in the asymmetric form."""

    gamma: float = option(default=0.5, low=0, below=1)
    asymmetric: bool = option(default=False)

    def values(self, xp: Namespace, counts: Counts) -> Array:
        miss = super().values(xp, counts)
        enhanced = power(xp, miss, 1.0 - self.gamma)
        if not self.asymmetric or self.task != "multiclass":
            return enhanced
        classes = sizes(miss)[-1]
        assert classes is not None
        return xp.where(class_vector(xp, range(classes), miss) > 0, enhanced, miss)


# --- parts: losses of places ------------------------------------------------------------------------------------------


@family
class OneVsRest(ProbabilityLoss):
    """-β·t·ln p - (1-β)(1-t)·ln(1-p) of every class against the rest; of exclusive classes their mean."""

    beta: float = option(default=0.5, low=0, high=1)

    def evaluate(self, batch: ClassBatch) -> Terms:
        xp, axis = batch.xp, batch.axis
        if batch.task != "multiclass" or axis is None:
            values = self._cost(xp, batch.scores, batch.index if batch.share is None else batch.share)
        else:
            z, t = log_odds(batch.scores, axis), batch.share
            if t is None:
                assert batch.index is not None
                classes = along(xp, numbers(batch.classes, batch.index), rank(z), axis)
                t = classes == xp.expand_dims(batch.index, axis=axis)
            values = xp.sum(self._cost(xp, z, t), axis=axis) / batch.classes
        return weighted(xp, values, batch.counted, times(batch.weight, label_weight(batch, self.class_weight)))

    def _cost(self, xp: Namespace, z: Array, t: Array) -> Array:
        if t.dtype == xp.bool:  # a hard answer leaves one of the two terms
            beta = xp.where(t, self.beta + xp.zeros_like(z), 1.0 - self.beta)
            return -beta * log_sigmoid(xp.where(t, z, -z))
        t = probability(xp, t)
        return -self.beta * t * log_sigmoid(z) - (1.0 - self.beta) * (1.0 - t) * log_sigmoid(-z)


def label_weight(batch: ClassBatch, class_weight: Sequence[float] | None) -> Array | None:
    """The class weight of each place: that of its label, or of its channel in a multilabel task."""
    if class_weight is None:
        return None
    weight = by_class(batch, class_weight)
    if batch.task != "multiclass" or batch.share is None:
        return weight
    return batch.xp.sum(weight * batch.share, axis=batch.axis)


@dataclasses.dataclass
class Answer:
    """What may be true of the places: a class of each, all classes (along an axis), or one of the two sides."""

    log_p: Array
    share: Array | None  # the probability that it is true; None is 1
    group: Array | int  # which class or side it is; 0 is background
    axis: int | None = None  # of the classes, where all are listed


def probability(xp: Namespace, t: Array) -> Array:
    """A soft target; one outside [0, 1] (a mask of 0 and 255, say) is read as 0 or 1, so that no term changes sign."""
    return clip(xp, t, min=0.0, max=1.0)


@family
class AnswerLoss(ProbabilityLoss):
    """Losses of the probability of a true answer that know which answer it is. Soft targets are expectations."""

    @property
    def reads(self) -> str:
        return "true_log_p" if type(self).log_p is AnswerLoss.log_p else "log_p"

    @abc.abstractmethod
    def cost(self, xp: Namespace, answer: Answer) -> Array:
        """The formula."""

    def log_p(self, batch: ClassBatch) -> Array:
        """Log-probabilities of all classes (multiclass)."""
        return batch.log_p()

    def answers(self, batch: ClassBatch) -> list[Answer]:
        """All answers that may be true at the places."""
        xp, axis, share = batch.xp, batch.axis, batch.share
        if batch.task != "multiclass" or axis is None:
            z = batch.scores
            t = xp.astype(batch.index, z.dtype) if share is None else probability(xp, share)
            return [Answer(log_sigmoid(-z), 1.0 - t, 0), Answer(log_sigmoid(z), t, 1)]
        if share is None:
            assert batch.index is not None
            true = self.reads == "true_log_p"
            log_p = batch.true_log_p() if true else pick(self.log_p(batch), batch.index, axis)
            return [Answer(log_p, None, batch.index)]
        log_p = self.log_p(batch)
        # an impossible class (log p = -inf) of no share contributes 0, not 0 · inf
        log_p = xp.where(xp.logical_and(share == 0, xp.isinf(log_p)), 0.0, log_p)
        classes = along(xp, class_vector(xp, range(batch.classes), log_p), rank(log_p), axis)
        return [Answer(log_p, share, classes, axis)]

    def expected(self, batch: ClassBatch, answer: Answer) -> Array:
        """Its share times its cost, with the weight of its class."""
        value = self.cost(batch.xp, answer)
        weight = None if self.class_weight is None else by_class(batch, self.class_weight)
        factor = times(answer.share, weight)
        return value if factor is None else value * factor

    def evaluate(self, batch: ClassBatch) -> Terms:
        xp, values = batch.xp, 0.0
        for answer in self.answers(batch):
            value = self.expected(batch, answer)
            values = values + (value if answer.axis is None else xp.sum(value, axis=answer.axis))
        return weighted(xp, values, batch.counted, batch.weight, label_weight(batch, self.class_weight))


@family
class UnifiedFocal(AnswerLoss):
    """δ(1-p)^γ(-ln p) of foreground and (1-δ)(1-p)^γ(-ln p) of background; foreground does not fade if asymmetric."""

    delta: float = option(default=0.6, low=0, high=1)
    gamma: float = option(default=0.5, low=0, below=1)
    asymmetric: bool = option(default=False)

    def cost(self, xp: Namespace, answer: Answer) -> Array:
        faded = focal(xp, answer.log_p, self.gamma)
        foreground = self.delta * (-answer.log_p if self.asymmetric else faded)
        background = (1.0 - self.delta) * faded
        if isinstance(answer.group, int):
            return foreground if answer.group else background
        return xp.where(answer.group > 0, foreground, background)


@family
class ExponentialCross(AnswerLoss):
    """(-ln p)^γ, each label times √(Σf/f): the frequencies are given or those of everything that was counted."""

    one_per_class = ("class_weight", "counts")

    gamma: float = option(default=0.3, above=0)
    counts: Sequence[float] | None = option(default=None, above=0)

    def log_p(self, batch: ClassBatch) -> Array:
        # a small power magnifies what log-softmax loses as p → 1: of 1e-7 it makes .008
        assert batch.axis is not None
        return log_sigmoid(log_odds(batch.scores, batch.axis))

    def cost(self, xp: Namespace, answer: Answer) -> Array:
        return power(xp, -answer.log_p, self.gamma)

    def summarize(self, batch: ClassBatch) -> GroupSums:
        xp = batch.xp
        found = [self._group_sums(batch, answer) for answer in self.answers(batch)]
        sums, mass = found[0]
        if batch.task != "multiclass":
            sums, mass = (xp.stack([side[i] for side in found], axis=-1) for i in (0, 1))
        place = xp.ones_like(batch.scores if batch.task != "multiclass" else xp.sum(batch.scores, axis=batch.axis))
        included = label_weight(batch, self.class_weight)
        count = mean_statistics(weighted(xp, place, batch.counted, batch.weight, included), self.reduction).count
        return GroupSums(sums, mass, count)

    def _group_sums(self, batch: ClassBatch, answer: Answer) -> tuple[Array, Array]:
        """Σ of cost and Σ of share over the places of each label, or of one side (of each class)."""
        xp, counted, weight = batch.xp, batch.counted, batch.weight
        if answer.axis is not None:
            counted, weight = (None if x is None else xp.expand_dims(x, axis=answer.axis) for x in (counted, weight))
        share = xp.ones_like(answer.log_p) if answer.share is None else answer.share
        value, share = (weighted(xp, x, counted, weight).values for x in (self.expected(batch, answer), share))
        if batch.task == "multiclass" and answer.axis is None:
            return tuple(class_sums(x, answer.group, batch.classes, batch=False) for x in (value, share))
        places = tuple(a for a in range(rank(share)) if a != batch.axis)
        return total(value, axis=places), total(share, axis=places)

    def from_sums(self, sums: Any, *, normalizer: Any = None) -> Array:
        xp = namespace(sums.total)
        frequency = sums.mass
        if self.counts is not None:
            frequency = class_vector(xp, self.counts, sums.total)
            frequency = xp.expand_dims(frequency, axis=-1) if self.task == "multilabel" else frequency
        axis = 0 if self.counts is not None else -1  # given numbers of a multilabel task are those of its classes
        factor = sqrt(xp, divide(xp, xp.sum(frequency, axis=axis, keepdims=True), frequency))
        mean = Mean(xp.sum(factor * sums.total), sums.count)
        return finalize_mean(mean, self.reduction, self.empty, normalizer, type(self).__name__)
