"""Wrong labels: losses that a mislabelled example cannot pull without bound."""

from __future__ import annotations

from typing import Literal

from lossary.array.namespace import Array, Namespace, namespace
from lossary.array.primitives import stop_gradient
from lossary.core.families import LikelihoodLoss
from lossary.core.families.answer import Answer
from lossary.core.families.classification import ClassBatch
from lossary.core.loss import loss
from lossary.core.options import option


@loss(
    "Zhang & Sabuncu 2018, Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels, eq. 6",
    arxiv="1805.07836",
    aliases=("gce", "lq"),
)
class GeneralizedCrossEntropyLoss(LikelihoodLoss):
    r"""Between cross entropy and the mean absolute error of probabilities.

    $$\ell(p_t) = \frac{1-p_t^{\,q}}{q}$$

    Use it where a known share of the labels is wrong: an example that the model finds impossible pulls by p_t^q times
    what it does under cross entropy. With clean labels, or with many classes and q near 1, it learns slowly.

    Args:
        q: 1 is 1 - p_t (half of the L1 distance to the one-hot target); towards 0 the loss becomes cross entropy.
        class_weight, ignore_index, mask, sample_weight: see `CrossEntropyLoss`.

    Shapes: logits (N, C, *), target (N, *) integers or (N, C, *) distributions; the unreduced loss is (N, *).
    In [0, 1/q].

    Elsewhere: `keras.losses.CategoricalGeneralizedCrossEntropy(q=…)` gives the same number; it takes probabilities
    (`from_logits=False`), classes last, and its default q is .5. torch and optax have none. The paper's truncated form,
    which leaves examples out once p_t is below a threshold, is a `mask`.

    >>> import numpy as np, lossary
    >>> round(float(lossary.GeneralizedCrossEntropyLoss(q=0.5)(np.log([[0.25, 0.75]]), np.array([0]))), 4)
    1.0
    """

    task: Literal["multiclass"] = option(default="multiclass", init=False)
    q: float = option(default=0.7, above=0, high=1)

    def values(self, xp: Namespace, answer: Answer) -> Array:
        return -xp.expm1(self.q * answer.log_p) / self.q  # expm1 keeps the digits as q → 0 and as p → 1

    def slope(self, xp: Namespace, answer: Answer) -> Array:
        return -xp.exp(self.q * answer.log_p)


@loss(
    "Wang et al. 2019, Symmetric Cross Entropy for Robust Learning with Noisy Labels, eq. 6",
    arxiv="1908.06112",
    aliases=("sce",),
)
class SymmetricCrossEntropyLoss(LikelihoodLoss):
    r"""Cross entropy plus the cross entropy with prediction and target exchanged.

    $$\ell = -\alpha\sum_c t_c\ln p_c - \beta\sum_c p_c\ln t_c, \qquad \ln 0 := A$$

    For one true class the second sum is -A·(1-p_t), which noise tolerates. Use it where labels are wrong and plain
    cross entropy overfits them; with clean labels the second term only scales the gradient of hard examples down.

    Args:
        alpha: α, weight of cross entropy; the paper takes 0.1 for CIFAR-10 and 6 for CIFAR-100.
        beta: β, weight of the reverse term.
        log_zero: A, what the logarithm of a target of 0 reads as.
        class_weight, ignore_index, mask, sample_weight: see `CrossEntropyLoss`.

    Shapes: logits (N, C, *), target (N, *) integers or (N, C, *) distributions; the unreduced loss is (N, *). A
    distribution is read as the expectation over labels drawn from it.

    Elsewhere: the authors' code clips p to 1e-7 and the target to 1e-4, whose logarithm is -9.2, not the paper's -4;
    `log_zero=-9.2103` gives that number.

    >>> import numpy as np, lossary
    >>> loss = lossary.SymmetricCrossEntropyLoss(alpha=1, beta=0.5)
    >>> round(float(loss(np.log([[0.25, 0.75]]), np.array([1]))), 4)  # 0.2877 + 0.5 · 4 · 0.25
    0.7877
    """

    task: Literal["multiclass"] = option(default="multiclass", init=False)
    alpha: float = option(default=0.1, low=0)
    beta: float = option(default=1.0, low=0)
    log_zero: float = option(default=-4.0, high=0)

    def values(self, xp: Namespace, answer: Answer) -> Array:
        return -self.alpha * answer.log_p - self.beta * self.log_zero * answer.miss

    def slope(self, xp: Namespace, answer: Answer) -> Array:
        return self.beta * self.log_zero * answer.p - self.alpha


@loss(
    "Amid et al. 2019, Robust Bi-Tempered Logistic Loss Based on Bregman Divergences, eq. 6 and algorithm 1",
    arxiv="1906.03361",
    aliases=("tempered_logistic",),
    keeps=13.0,  # two steps of Newton's method that have second derivatives
)
class BiTemperedLoss(LikelihoodLoss):
    r"""A bounded logarithm on a softmax with heavy tails.

    $$\ell = -\ln_{t_1} p_t - \frac{1 - \sum_c p_c^{\,2-t_1}}{2-t_1}, \qquad
      p_c = \exp_{t_2}(z_c - \lambda), \quad \sum_c p_c = 1$$

    with ln_t x = (x^{1-t} - 1)/(1-t) and its inverse exp_t. Use it where labels are wrong: t₁ < 1 bounds what one
    example far on the wrong side costs, t₂ > 1 keeps examples near the boundary from being fitted to the last digit. A
    model trained with it gives probabilities by the tempered softmax only.

    Args:
        t1: temperature of the logarithm; 1 does not bound it.
        t2: temperature of the softmax, at least 1, where it is the usual one. (t₁, t₂) = (1, 1) is cross entropy.
        class_weight, ignore_index, mask, sample_weight: see `CrossEntropyLoss`.

    Shapes: logits (N, C, *), target (N, *) integers or (N, C, *) distributions; the unreduced loss is (N, *). A
    distribution is read as the expectation over labels drawn from it, which differs from the paper's divergence by a
    number that does not depend on the prediction. λ is found by a fixed number of Newton steps, to the last digit.

    Elsewhere: `bi_tempered_logistic_loss` of the authors, with 5 steps of a slower iteration (unreduced, classes last).
    It knows t₂ < 1 too, which has no tail and so no gradient far out.

    >>> import numpy as np, lossary
    >>> logits = np.array([[0.0, 1000.0]])  # cross entropy costs 1000
    >>> round(float(lossary.BiTemperedLoss(t1=0.8, t2=1.2)(logits, np.array([0]))), 2)
    4.98
    """

    task: Literal["multiclass"] = option(default="multiclass", init=False)
    t1: float = option(default=0.8, low=0, high=1)
    t2: float = option(default=1.2, low=1)

    def log_p(self, batch: ClassBatch) -> Array:
        if self.t2 == 1:
            return batch.log_p()
        key = ("tempered", self.t2)
        if key not in batch.memo:
            assert batch.axis is not None
            batch.memo[key] = tempered_log_softmax(batch.scores, batch.axis, self.t2)
        return batch.memo[key]

    def values(self, xp: Namespace, answer: Answer) -> Array:
        r = 1.0 - self.t1
        return -answer.log_p if r == 0 else -xp.expm1(r * answer.log_p) / r

    def slope(self, xp: Namespace, answer: Answer) -> Array:
        return -xp.exp((1.0 - self.t1) * answer.log_p)

    def everywhere(self, batch: ClassBatch) -> Array | None:
        if self.t1 == 1:
            return None  # Σ p = 1
        xp, r = batch.xp, 2.0 - self.t1
        return (xp.sum(xp.exp(r * self.log_p(batch)), axis=batch.axis) - 1.0) / r


def tempered_log_softmax(z: Array, axis: int, t: float) -> Array:
    """log p of p = exp_t(z - λ), t > 1, with λ such that Σ p = 1.

    With Z = Σ p the function Z^{1-t} of λ is nearly straight (exactly so for equal logits), so Newton's method on
    Z^{1-t} = 1 converges in few steps: six reach the last digit for t from 1.01 to 5 and 2 to 10,000 classes. These
    take z as a constant; two more give λ its first and second derivative.
    """
    xp, s = namespace(z), t - 1.0
    z = z - stop_gradient(xp.max(z, axis=axis, keepdims=True))

    def log_p(z: Array, norm: Array) -> Array:
        return -xp.log1p(s * (norm - z)) / s

    def closer(z: Array, norm: Array) -> Array:
        logs = log_p(z, norm)
        total = xp.sum(xp.exp(logs), axis=axis, keepdims=True)
        escort = xp.sum(xp.exp(t * logs), axis=axis, keepdims=True)  # -dZ/dλ
        return norm + total * xp.expm1(s * xp.log(total)) / (s * escort)

    fixed = stop_gradient(z)
    norm = xp.zeros_like(xp.max(fixed, axis=axis, keepdims=True))
    for _ in range(6):
        norm = closer(fixed, norm)
    return log_p(z, closer(z, closer(z, norm)))
