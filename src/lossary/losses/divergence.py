"""Classification by divergence: losses between two distributions."""

from __future__ import annotations

from lossary.array.namespace import Array, Namespace
from lossary.core.families import DivergenceLoss
from lossary.core.loss import loss


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
    a target of 0 is NaN. `keras.losses.KLDivergence` takes probabilities, classes last.

    >>> import numpy as np, lossary
    >>> t, p = np.array([[0.5, 0.5, 0.0]]), np.array([[0.25, 0.75, 0.0]])
    >>> round(float(lossary.KLDivLoss(prediction_form="probs")(p, t)), 4)
    0.1438
    """

    def values(self, xp: Namespace, log_p: Array, log_t: Array) -> Array:
        possible = log_t > float("-inf")
        # the difference of two -inf never meets a gradient: that of a class of probability 0 is cut here
        return xp.exp(log_t) * xp.where(possible, log_t - log_p, 0.0)
