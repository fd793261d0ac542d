"""Classes of very unequal size: losses that know how often each class occurs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import along, log_odds, log_sigmoid, log_softmax, log_softmax_at, lookup
from lossary.core.families import LikelihoodLoss
from lossary.core.families.answer import Answer
from lossary.core.families.classification import ClassBatch, class_vector
from lossary.core.families.elements import rank
from lossary.core.loss import loss
from lossary.core.options import option


@loss(
    "Cui et al. 2019, Class-Balanced Loss Based on Effective Number of Samples, eq. 12",
    arxiv="1901.05555",
    aliases=("cb", "effective_number"),
)
class ClassBalancedLoss(LikelihoodLoss):
    r"""Cross entropy or focal loss with each class weighed by its effective number of samples.

    $$\ell = -w_y\,(1-p_t)^\gamma\ln p_t, \qquad w_c = C\,\frac{v_c}{\sum_j v_j}, \quad
      v_c = \frac{1-\beta}{1-\beta^{n_c}}$$

    Use it for a long tail of classes, where weights of 1/n are too steep: samples of a large class repeat each other,
    and β says how soon. With probabilities wanted rather than balanced accuracy, weigh nothing.

    Args:
        counts: n, how often each class occurs in the training set; two numbers (negatives, positives) in a binary task.
            Without them every class weighs 1.
        beta: β, (N-1)/N for N different samples a class can have; 0 weighs nothing, towards 1 the weights become 1/n.
        gamma: γ of the focal factor; 0 is cross entropy.
        ignore_index, mask, sample_weight: places left out and weights of places, see `lossary.Loss`.

    Shapes: as the task says, see `LikelihoodLoss`; the unreduced loss has the shape of the labels. The weights belong
    to the formula: both means divide as if they were not there.

    Elsewhere: the authors' code gives a sample's weight to the sigmoids of all its classes, which one label per sample
    makes possible; in `"multilabel"` each class has its own here. It also sums over classes and divides by N.

    >>> import numpy as np, lossary
    >>> loss = lossary.ClassBalancedLoss("multiclass", counts=(1, 100), beta=0.9, reduction="none")
    >>> loss(np.zeros((2, 2)), np.array([0, 1])).round(3).tolist()  # weights 1.818 and 0.182, ten times apart
    [1.26, 0.126]
    """

    one_per_class = ("class_weight", "counts")

    counts: Sequence[float] | None = option(default=None, above=0)
    beta: float = option(default=0.9999, low=0, below=1)
    gamma: float = option(default=0.0, low=0)

    def check_options(self) -> None:
        super().check_options()
        if self.task == "binary" and self.counts is not None and len(self.counts) != 2:
            raise ValueError(
                f"`counts` in a binary task must hold two numbers, negatives and positives; got {len(self.counts)}"
            )

    def _weights(self) -> tuple[float, ...] | None:
        if self.counts is None:
            return None
        if self.beta == 0:
            return tuple(1.0 for _ in self.counts)
        # 1 - β^n by expm1, which keeps the digits of β near 1
        rates = [(1.0 - self.beta) / -math.expm1(n * math.log(self.beta)) for n in self.counts]
        total = math.fsum(rates)
        return tuple(len(rates) * v / total for v in rates)

    def class_factor(self) -> Sequence[float] | None:
        return self._weights()

    def sides(self) -> tuple[float | Sequence[float], float | Sequence[float]] | None:
        weights = self._weights()
        if weights is None:
            return None
        return (weights[1], weights[0]) if self.task == "binary" else (weights, weights)

    def values(self, xp: Namespace, answer: Answer) -> Array:
        return answer.fading(self.gamma)

    def slope(self, xp: Namespace, answer: Answer) -> Array | float:
        return answer.fading_slope(self.gamma)


@loss(
    "Cao et al. 2019, Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, eq. 13",
    arxiv="1906.07413",
)
class LDAMLoss(LikelihoodLoss):
    r"""Softmax cross entropy in which a true class must lead by a margin, the rarer it is the larger.

    $$\ell = -\ln\frac{e^{s(z_y-\Delta_y)}}{e^{s(z_y-\Delta_y)} + \sum_{c\ne y}e^{s z_c}}, \qquad
      \Delta_c = \Delta_{\max}\Big(\frac{\min_j n_j}{n_c}\Big)^{1/4}$$

    Use it for a long tail of classes, with scores z that are cosines (features and class vectors of length 1), and in
    the paper's schedule with `class_weight` in the last epochs. On scores without bound the margin is learned away.

    Args:
        counts: n, how often each class occurs in the training set. Without them every class has the largest margin.
        max_margin: Δ of the rarest class.
        scale: s, what the scores are multiplied by. With s = 1 and no margin this is cross entropy.
        class_weight, ignore_index, mask, sample_weight: see `CrossEntropyLoss`.

    Shapes: scores (N, C, *), target (N, *) integers or (N, C, *) distributions; the unreduced loss is (N, *).

    Elsewhere: the authors' `LDAMLoss(cls_num_list, max_m, weight, s)`; with `weight` its mean is
    `reduction="weighted_mean"`.

    >>> import numpy as np, lossary
    >>> loss = lossary.LDAMLoss(counts=(16, 1), max_margin=0.5, scale=1, reduction="none")
    >>> loss(np.zeros((2, 2)), np.array([0, 1])).round(3).tolist()  # ln(1 + e^.25) and ln(1 + e^.5)
    [0.826, 0.974]
    """

    task: Literal["multiclass"] = option(default="multiclass", init=False)
    one_per_class = ("class_weight", "counts")

    counts: Sequence[float] | None = option(default=None, above=0)
    max_margin: float = option(default=0.5, low=0)
    scale: float = option(default=30.0, above=0)

    def log_p(self, batch: ClassBatch) -> Array:
        # a logit that is less by m, the others as they were: log-odds that are less by m
        xp, axis, z = batch.xp, batch.axis, self.scale * batch.scores
        assert axis is not None
        return log_sigmoid(log_odds(z, axis) - along(xp, self._margins(batch), rank(z), axis))

    def true_log_p(self, batch: ClassBatch, index: Array) -> Array:
        assert batch.axis is not None
        margins = lookup(self._margins(batch), index)
        return log_softmax_at(batch.scores, index, batch.axis, scale=self.scale, less=margins)

    def _margins(self, batch: ClassBatch) -> Array:
        """s·Δ of each class."""
        counts = self.counts or (1.0,) * batch.classes
        fewest = min(counts)
        margins = [self.scale * self.max_margin * (fewest / n) ** 0.25 for n in counts]
        return class_vector(batch.xp, margins, batch.scores)


@loss(
    "Menon et al. 2021, Long-Tail Learning via Logit Adjustment, eq. 10",
    arxiv="2007.07314",
    aliases=("balanced_softmax", "logit_adjustment"),
)
class LogitAdjustedLoss(LikelihoodLoss):
    r"""Softmax cross entropy that expects each class as often as it occurs, so that the logits need not.

    $$\ell = -\ln\operatorname{softmax}(z + \tau\ln\pi)_y$$

    Use it for a long tail of classes where balanced accuracy counts: at test time the plain argmax of z is right for
    classes that are equally frequent. Probabilities of the training distribution are softmax(z + τ ln π).

    Args:
        counts: π, how often each class occurs in the training set, as numbers or shares. Without them classes are
            taken for equally frequent, which is cross entropy.
        tau: τ; 1 is consistent for balanced accuracy (and the balanced softmax of Ren et al. 2020), 0 changes nothing.
        class_weight, ignore_index, mask, sample_weight: see `CrossEntropyLoss`.

    Shapes: logits (N, C, *), target (N, *) integers or (N, C, *) distributions; the unreduced loss is (N, *).

    Elsewhere: `torch.nn.functional.cross_entropy(logits + tau * log_prior, target)`.

    >>> import numpy as np, lossary
    >>> loss = lossary.LogitAdjustedLoss(counts=(90, 10), reduction="none")
    >>> loss(np.zeros((2, 2)), np.array([0, 1])).round(3).tolist()  # -ln .9 and -ln .1
    [0.105, 2.303]
    """

    task: Literal["multiclass"] = option(default="multiclass", init=False)
    one_per_class = ("class_weight", "counts")

    counts: Sequence[float] | None = option(default=None, above=0)
    tau: float = option(default=1.0)

    def log_p(self, batch: ClassBatch) -> Array:
        prior = self._prior(batch)
        if prior is None:
            return batch.log_p()
        assert batch.axis is not None
        return log_softmax(batch.scores + along(batch.xp, prior, rank(batch.scores), batch.axis), batch.axis)

    def true_log_p(self, batch: ClassBatch, index: Array) -> Array:
        prior = self._prior(batch)
        if prior is None:
            return super().true_log_p(batch, index)
        assert batch.axis is not None
        return log_softmax_at(batch.scores, index, batch.axis, shift=prior)

    def _prior(self, batch: ClassBatch) -> Array | None:
        """τ ln π of each class, up to one number for all."""
        if self.counts is None or self.tau == 0:
            return None
        return class_vector(batch.xp, [self.tau * math.log(n) for n in self.counts], batch.scores)
