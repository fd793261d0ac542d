"""Cross entropy and its nearest kin: functions of the probability of the true answer that fade or gain a term."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lossary.array.namespace import Array, Namespace
from lossary.core.families import ForegroundMean, LikelihoodLoss
from lossary.core.families.answer import Answer
from lossary.core.loss import loss
from lossary.core.options import option


@loss(
    "Good 1952, Rational Decisions",
    aliases=("sigmoid_cross_entropy", "binary_cross_entropy", "wbce"),
    surveys=("S1", "S4"),
)
class BCELoss(LikelihoodLoss):
    r"""Binary (sigmoid) cross entropy, weighted if asked.

    $$\ell = -w_+\,t\ln p - (1-t)\ln(1-p), \qquad p = \sigma(\text{logit})$$

    Use it for one or more independent yes/no questions per place. Where one class of several holds, take
    `CrossEntropyLoss`; where most places are easy negatives, `FocalLoss` or a `pos_weight`.

    Args:
        task: `"binary"` (any shape) or `"multilabel"` (classes along `class_axis`); the number is the same, class
            weights need to know the axis.
        pos_weight: w₊, weight of the positive term; about #negatives/#positives balances the two. One number, or one
            per class in `"multilabel"`.
        label_smoothing: ε, moves targets to t(1-ε) + ε/2.
        ignore_index, mask, sample_weight: places left out and weights of places, see `lossary.Loss`.

    Shapes: prediction and target alike; the target bool, integer 0/1 or soft in [0, 1]. The unreduced loss has that
    shape; in nats.

    Elsewhere: `torch.nn.functional.binary_cross_entropy_with_logits`, `optax.losses.sigmoid_binary_cross_entropy`
    (unreduced), `keras.losses.BinaryCrossentropy(from_logits=True)`, smoothing included. smp's `SoftBCEWithLogitsLoss`
    smooths to 1-ε and ε, which is twice as much, and its mean counts ignored places; timm's `BinaryCrossEntropy`
    smooths to 1-ε+ε/C and ε/C. What multiplies both terms by one weight is `sample_weight`.

    >>> import numpy as np, lossary
    >>> logits, target = np.array([2.0, -1.0, 3.0, 0.5]), np.array([1, 0, 255, 255])
    >>> round(float(lossary.BCELoss(ignore_index=255)(logits, target)), 4)
    0.2201
    """

    one_per_class = ("class_weight", "pos_weight")

    task: Literal["binary", "multilabel"] = option(default="binary", kw_only=False)
    pos_weight: float | Sequence[float] | None = option(default=None, low=0)
    label_smoothing: float = option(default=0.0, low=0, below=1)

    def check_options(self) -> None:
        super().check_options()
        if self.task == "binary" and isinstance(self.pos_weight, tuple):
            raise ValueError("a sequence of `pos_weight` needs classes: pass task='multilabel', or one number")

    @property
    def smoothing(self) -> float:
        return self.label_smoothing

    def sides(self) -> tuple[float | Sequence[float], float] | None:
        return None if self.pos_weight is None else (self.pos_weight, 1.0)


@loss(
    "Good 1952, Rational Decisions; label smoothing: Szegedy et al. 2016, section 7",
    arxiv="1512.00567",
    aliases=(
        "ce",
        "weighted_cross_entropy",
        "softmax_cross_entropy",
        "categorical_cross_entropy",
        "sparse_categorical_cross_entropy",
    ),
    surveys=("S0", "S1", "S2", "S4"),
)
class CrossEntropyLoss(LikelihoodLoss):
    r"""Softmax cross entropy: minus the log-probability of the true class.

    $$\ell = -\sum_c w_c\, t_c \ln p_c, \qquad p = \operatorname{softmax}(\text{logits})$$

    Use it where exactly one of several classes holds; it is the default of classification and segmentation. Labels
    ("sparse") and distributions ("categorical") give the same number under every weight, smoothing and reduction.

    Args:
        label_smoothing: ε, moves targets to (1-ε)·t + ε/C. A class whose logit is -inf takes no share of it, and
            ignored places none either.
        class_weight: w, one number per class. `reduction="mean"` divides by the number of places,
            `"weighted_mean"` by Σ w as torch does for labels.
        ignore_index, mask, sample_weight: places left out and weights of places, see `lossary.Loss`.

    Shapes: logits (N, C, *), target (N, *) integers or (N, C, *) distributions; the unreduced loss is (N, *), in nats.

    Elsewhere: `torch.nn.functional.cross_entropy`; with `weight=` that is `reduction="weighted_mean"`. All ignored
    gives NaN there and 0 here (`empty="nan"` for theirs). `optax.losses.softmax_cross_entropy_with_integer_labels`
    (unreduced), `keras.losses.SparseCategoricalCrossentropy(from_logits=True)` with classes last. The mean of smp's
    `SoftCrossEntropyLoss` counts ignored places. Some copies of label smoothing give the true class 1-ε where it should
    have 1-ε+ε/C (CoinCheung/pytorch-loss): their targets sum to less than 1.

    >>> import numpy as np, lossary
    >>> round(float(lossary.CrossEntropyLoss()(np.log([[0.3, 0.7]]), np.array([0]))), 3)
    1.204
    """

    task: Literal["multiclass"] = option(default="multiclass", init=False)
    label_smoothing: float = option(default=0.0, low=0, below=1)

    @property
    def smoothing(self) -> float:
        return self.label_smoothing


@loss(
    "Lin et al. 2017, Focal Loss for Dense Object Detection, eq. 5",
    arxiv="1708.02002",
    surveys=("S0", "S1", "S2", "S4"),
)
class FocalLoss(ForegroundMean, LikelihoodLoss):
    r"""Cross entropy that fades for easy examples.

    $$\ell(p_t) = -\alpha_t\,(1-p_t)^\gamma \ln p_t$$

    Use it where easy examples outnumber hard ones by far (anchors of a detector, background pixels). Where labels are
    noisy it does harm: a wrong label is a hard example.

    Args:
        gamma: γ, how fast easy examples fade; 0 is cross entropy.
        alpha: the weight of the positive class in binary and multilabel tasks, 1-α that of the negative (the paper
            takes 0.25 with γ = 2); one number per class in multiclass tasks. None weighs nothing.
        normalizer: `"places"`, or `"positives"` for the mean of detectors (the paper's section 4.1): the sum over all
            anchors divided by the number of those that hold an object, see `ForegroundMean`.
        ignore_index, mask, sample_weight: places left out and weights of places, see `lossary.Loss`.

    Shapes: as the task says, see `LikelihoodLoss`; the unreduced loss has the shape of the labels. The mean is over
    counted places, never over places times classes.

    Elsewhere: `torchvision.ops.sigmoid_focal_loss(reduction="mean")` for binary hard labels (its soft targets differ:
    it takes p_t as a mixture, here the loss is an expectation); `optax.losses.sigmoid_focal_loss`. MONAI's and kornia's
    softmax focal losses average over classes too, so they are 1/C of this one, kornia's over ignored places as well;
    smp's multiclass focal loss is one sigmoid per class, and its `normalized=True` divides by Σ (1-p_t)^γ with the
    gradient going through, which turns that of positives around. What `alpha` is differs: one number is 1-α for class 0
    and α for all others in the softmax forms of MONAI and kornia, a factor of everything in
    `keras.losses.CategoricalFocalCrossentropy`, and nothing in `keras.losses.BinaryFocalCrossentropy` unless
    `apply_class_balancing=True`. It is .25 by default in torchvision and Keras, and None in MONAI.

    >>> import numpy as np, lossary
    >>> logits, target = np.array([[2.0, 0.0, -1.0], [0.0, 0.0, 3.0]]), np.array([0, 1])
    >>> round(float(lossary.FocalLoss("multiclass", gamma=2)(logits, target)), 4)
    1.4126
    """

    one_per_class = ("class_weight", "alpha")

    gamma: float = option(default=2.0, low=0)
    alpha: float | Sequence[float] | None = option(default=None, low=0)

    def check_options(self) -> None:
        super().check_options()
        if self.task == "multiclass" and isinstance(self.alpha, float):
            raise ValueError(
                f"`alpha` in a multiclass task needs one number per class; got {self.alpha}. One number for all "
                "classes is a factor: write alpha * loss."
            )
        if self.task != "multiclass" and isinstance(self.alpha, tuple):
            raise ValueError(
                f"`alpha` in a {self.task} task is one number, the weight of positives; got {self.alpha}. For weights "
                "of classes pass `class_weight`."
            )
        if self.task != "multiclass" and isinstance(self.alpha, float) and self.alpha > 1:
            raise ValueError(f"`alpha` must be in [0, 1], because negatives weigh 1 - alpha; got {self.alpha}")

    def sides(self) -> tuple[float | Sequence[float], float] | None:
        return (self.alpha, 1.0 - self.alpha) if isinstance(self.alpha, float) else None

    def class_factor(self) -> Sequence[float] | None:
        return self.alpha if isinstance(self.alpha, tuple) else None

    def values(self, xp: Namespace, answer: Answer) -> Array:
        return answer.fading(self.gamma)

    def slope(self, xp: Namespace, answer: Answer) -> Array | float:
        return answer.fading_slope(self.gamma)


@loss(
    "Leng et al. 2022, PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions, eq. 3 (Poly-1)",
    arxiv="2204.12511",
    aliases=("poly1",),
)
class PolyLoss(LikelihoodLoss):
    r"""Cross entropy with one more share of the probability that it misses (Poly-1).

    $$\ell(p_t) = -\ln p_t + \epsilon\,(1-p_t)$$

    Use it to tune cross entropy with one number: ε > 0 trusts confident predictions more, which helps on ImageNet;
    ε < 0 weighs them less, which the paper found best on imbalanced data. It changes little where cross entropy is well
    tuned.

    Args:
        epsilon: ε, what is added to the first coefficient of the expansion -ln p = Σ (1-p)^j/j; at least -1, where
            that term is gone. 0 is cross entropy.
        class_weight, ignore_index, mask, sample_weight: see `CrossEntropyLoss`.

    Shapes: logits (N, C, *), target (N, *) integers or (N, C, *) distributions; the unreduced loss is (N, *).

    Elsewhere: `optax.losses.poly_loss_cross_entropy` (unreduced, classes last, dense targets; its default ε is 2). On
    smoothed targets it takes 1 - Σ t·p as the paper's code does, which is the expectation here as well.

    >>> import numpy as np, lossary
    >>> round(float(lossary.PolyLoss(epsilon=2)(np.log([[0.25, 0.75]]), np.array([1]))), 4)  # 0.2877 + 2 · 0.25
    0.7877
    """

    task: Literal["multiclass"] = option(default="multiclass", init=False)
    epsilon: float = option(default=1.0, low=-1)

    def values(self, xp: Namespace, answer: Answer) -> Array:
        return self.epsilon * answer.miss - answer.log_p

    def slope(self, xp: Namespace, answer: Answer) -> Array:
        return -1.0 - self.epsilon * answer.p
