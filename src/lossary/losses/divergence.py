"""Classification by divergence: losses between two distributions."""

from __future__ import annotations

import math

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import log_sigmoid, log_softmax, pick
from lossary.core.families import DivergenceLoss
from lossary.core.families.divergence import Distributions, Form
from lossary.core.families.elements import weighted
from lossary.core.loss import loss
from lossary.core.options import option
from lossary.core.reduction import Terms


@loss(
    "Kullback & Leibler 1951, On Information and Sufficiency",
    aliases=("kl", "kullback_leibler", "relative_entropy"),
    surveys=("S0", "S2", "S4"),
)
class KLDivLoss(DivergenceLoss):
    r"""Kullback-Leibler divergence of the target from the prediction.

    $$\ell = \sum_c t_c\,(\ln t_c - \ln p_c)$$

    Use it for targets that are distributions themselves. While the target is fixed its gradient is that of cross
    entropy, whose value lacks the constant Σ t ln t. A class of target probability 0 contributes 0 with a zero
    gradient, even where the prediction is 0 or its logit -inf.

    Args:
        class_axis: the axis of the distributions.
        prediction_form: `"logits"`, `"log_probs"` or `"probs"`.
        target_form: the same for the target. A target may carry a gradient (mutual learning).

    Shapes: prediction and target alike, (N, C, *); the unreduced loss is (N, *), in nats. The mean is per distribution.

    Elsewhere: `torch.nn.functional.kl_div(log_p, t, reduction="batchmean")` for two axes; its "mean" divides by C as
    well and is not a divergence. `optax.losses.kl_divergence` takes log-probabilities (unreduced), and its gradient by
    a target of 0 is NaN. `keras.losses.KLDivergence` takes probabilities, classes last, and clips both sides to 1e-7.
    `kornia.losses.kl_div_loss_2d` takes each map (H, W) for a distribution: `class_axis=-1` of maps that are flattened.

    >>> import numpy as np, lossary
    >>> t, p = np.array([[0.5, 0.5, 0.0]]), np.array([[0.25, 0.75, 0.0]])
    >>> round(float(lossary.KLDivLoss(prediction_form="probs")(p, t)), 4)
    0.1438
    """

    def values(self, xp: Namespace, log_p: Array, log_t: Array) -> Array:
        return _relative(xp, log_p, log_t)


def _relative(xp: Namespace, log_p: Array, log_t: Array) -> Array:
    """t·(ln t - ln p)."""
    possible = log_t > float("-inf")
    # the difference of two -inf never meets a gradient: that of a class of probability 0 is cut here
    return xp.exp(log_t) * xp.where(possible, log_t - log_p, 0.0)


@loss(
    "Lin 1991, Divergence Measures Based on the Shannon Entropy, eq. 4.1",
    aliases=("js", "jensen_shannon"),
    surveys=("S0", "S2", "S4"),
    span=(0.0, math.log(2.0)),
)
class JSDivLoss(DivergenceLoss):
    r"""Jensen-Shannon divergence: symmetric, and never above ln 2.

    $$\ell = \frac{1}{2} \sum_c \Big( t_c \ln\frac{t_c}{m_c} + p_c \ln\frac{p_c}{m_c} \Big), \qquad m = \frac{p+t}{2}$$

    Use it where neither distribution is the true one, or where a prediction that rules out what the target holds should
    cost a finite amount. Where it does rule it out the gradient by the logits fades too: to fit a fixed target,
    `KLDivLoss` teaches better.

    Args:
        class_axis: the axis of the distributions.
        prediction_form: `"logits"`, `"log_probs"` or `"probs"`.
        target_form: the same for the target. A target may carry a gradient.

    Shapes: prediction and target alike, (N, C, *); the unreduced loss is (N, *), in nats. The mean is per distribution.

    Elsewhere: `scipy.spatial.distance.jensenshannon(p, t)` is its root, and can be in bits. torch has none; some write
    it with `F.kl_div`, whose arguments are easily swapped: F.kl_div(a, b) is the divergence of b from exp(a).
    `kornia.losses.js_div_loss_2d` takes each map (H, W) for a distribution, as its divergence does. timm's
    `JsdCrossEntropy` is cross entropy plus 12 times the divergence of three views of a sample.

    >>> import math, numpy as np, lossary
    >>> p, t = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    >>> math.isclose(lossary.JSDivLoss(prediction_form="probs")(p, t), math.log(2))
    True
    """

    def values(self, xp: Namespace, log_p: Array, log_t: Array) -> Array:
        return 0.5 * (_from_middle(xp, log_p, log_t) + _from_middle(xp, log_t, log_p))


def _from_middle(xp: Namespace, log_a: Array, log_b: Array) -> Array:
    """a·ln(a/m), m the mean of a and b: ln(a/m) = ln 2 + ln σ(ln a - ln b)."""
    both = xp.logical_and(log_a > float("-inf"), log_b > float("-inf"))
    # where one of them is 0, a·ln(a/m) is a·ln 2
    ahead = xp.where(both, xp.where(both, log_a, 0.0) - xp.where(both, log_b, 0.0), 0.0)
    return xp.exp(log_a) * (math.log(2.0) + xp.where(both, log_sigmoid(ahead), 0.0))


@loss(
    "Grandvalet & Bengio 2004, Semi-supervised Learning by Entropy Minimization",
    aliases=("shannon_entropy", "entropy_minimization"),
    surveys=("S0", "S2", "S4"),
)
class EntropyLoss(DivergenceLoss):
    r"""Entropy of the prediction: how undecided the model is.

    $$\ell = -\sum_c p_c \ln p_c$$

    Use it as a part of a sum: with a positive weight on unlabelled samples it asks for decisions, with a negative one
    (`CrossEntropyLoss() + -0.1 * EntropyLoss()`) it punishes overconfidence. It has no target: whatever is passed, the
    labels of the other parts or None, is not read. Alone it is least for a model that always says the same.

    Args:
        class_axis: the axis of the distributions.
        prediction_form: `"logits"`, `"log_probs"` or `"probs"`.

    Shapes: prediction (N, C, *), target anything or None; the unreduced loss is (N, *), in nats. The mean is per
    distribution. In bits, and of plain distributions: `lossary.information.entropy`.

    Elsewhere: `torch.distributions.Categorical(logits=…).entropy()` (classes last) and `scipy.stats.entropy(p)` give
    the same number, unreduced.

    >>> import numpy as np, lossary
    >>> logits = np.array([[np.log(3.0), 0.0]])
    >>> round(float(lossary.EntropyLoss()(logits, None) / np.log(2)), 3)
    0.811
    """

    reads_target = False

    target_form: Form = option(default="probs", init=False)

    def values(self, xp: Namespace, log_p: Array, log_t: Array) -> Array:
        return -xp.exp(log_p) * xp.where(log_p > float("-inf"), log_p, 0.0)


@loss(
    "Hinton et al. 2015, Distilling the Knowledge in a Neural Network, section 2",
    arxiv="1503.02531",
    aliases=("knowledge_distillation", "kd"),
    surveys=("S2",),
)
class DistillationLoss(DivergenceLoss):
    r"""Divergence of a student from its teacher, both softened by a temperature.

    $$\ell = (1-w)\, T^2 \sum_c t_c \ln\frac{t_c}{p_c} - w \ln q_y, \qquad t = \text{softmax}(z_t/T),
    \quad p = \text{softmax}(z_s/T), \quad q = \text{softmax}(z_s)$$

    Use it to train a small model on the outputs of a large one: at T > 1 the teacher's order among wrong classes
    counts. T² keeps the size of the gradient when T changes. With `hard_weight=w` the true labels y, an operand of the
    call, take that share. The teacher's numbers are the target: stop their gradient unless the teacher learns too.

    Args:
        temperature: T; both sides are divided by it.
        hard_weight: w, the share of the cross entropy with `labels`, class indices (N, *), at T = 1.
        class_axis: the axis of the classes.
        prediction_form: `"logits"`, `"log_probs"` or `"probs"`; a distribution is softened through its logarithm.
        target_form: the same for the teacher.

    Shapes: prediction and target alike, (N, C, *), labels (N, *); the unreduced loss is (N, *), in nats. The mean is
    per distribution.

    Elsewhere: `T**2 * F.kl_div(F.log_softmax(s/T, 1), F.softmax(t/T, 1), reduction="batchmean")` for two axes. Hinton's
    text has the cross entropy with the teacher in place of the divergence, which differs by the teacher's entropy and
    has the same gradient; some copies leave out T², or use `reduction="mean"` and divide by C.

    >>> import numpy as np, lossary
    >>> student, teacher = np.array([[2.0, 0.0, 1.0]]), np.array([[1.0, 0.0, 3.0]])
    >>> once = lossary.DistillationLoss(temperature=1)(student, teacher)
    >>> bool(np.isclose(once, lossary.KLDivLoss(target_form="logits")(student, teacher)))
    True
    """

    operands = ("labels",)

    temperature: float = option(default=4.0, above=0)
    hard_weight: float = option(default=0.0, low=0, high=1)
    target_form: Form = option(default="logits")

    @property
    def takes(self) -> tuple[str, ...]:
        return ("labels",) if self.hard_weight else ()

    def values(self, xp: Namespace, log_p: Array, log_t: Array) -> Array:
        return _relative(xp, log_p, log_t)

    def evaluate(self, batch: Distributions) -> Terms:
        xp, axis, t = batch.xp, batch.axis, self.temperature
        soft = self.values(xp, log_softmax(batch.log_p / t, axis), log_softmax(batch.log_t / t, axis))
        values = (1.0 - self.hard_weight) * t**2 * xp.sum(soft, axis=axis)
        if batch.labels is not None:
            values = values - self.hard_weight * pick(batch.log_p, batch.labels, axis)
        return weighted(xp, values, batch.counted, batch.weight)
