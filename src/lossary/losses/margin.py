"""Classification by margin: losses of how far the score of the true answer is ahead."""

from __future__ import annotations

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import sign
from lossary.core.families import MarginLoss
from lossary.core.families.classification import Task
from lossary.core.loss import loss
from lossary.core.options import option


@loss(
    "Vapnik 1995, The Nature of Statistical Learning Theory; multiclass: Crammer & Singer 2001, Weston & Watkins 1999",
    aliases=("svm", "multi_margin"),
    surveys=("S1", "S2", "S4"),
)
class HingeLoss(MarginLoss):
    r"""The loss of support vector machines: no cost once the margin is 1.

    $$\ell(m) = \max(0,\ 1-m)^{\text{power}}, \qquad m = y\,f,\ y = \pm 1$$

    Use it for classifiers that need a decision and no probability; scores are not logits. With `power=2` (squared
    hinge) the loss is smooth at m = 1. At m = 1 the gradient is 0.

    Args:
        power: 1 or 2, any number from 1.
        multiclass: the margin of several classes, see `MarginLoss`.

    Shapes: binary scores and labels alike, labels ±1, 0/1 or bool; multiclass scores (N, C, *) and labels (N, *). The
    unreduced loss has the shape of the labels.

    Elsewhere: `keras.losses.Hinge`, `keras.losses.SquaredHinge`, `optax.losses.hinge_loss` (unreduced, ±1).
    `torch.nn.functional.multi_margin_loss` is `"weston-watkins"` divided by the number of classes;
    `optax.losses.multiclass_hinge_loss` is `"crammer-singer"`.

    >>> import numpy as np, lossary
    >>> float(lossary.HingeLoss("binary")(np.array([0.5, -2.0]), np.array([1, -1])))
    0.25
    """

    task: Task = option(kw_only=False)
    power: float = option(default=1.0, low=1)

    def values(self, xp: Namespace, margin: Array) -> Array:
        # where, not maximum: slope 0 at the kink in every framework; and a NaN is no margin that is large enough
        short = xp.where(margin >= 1.0, 0.0, 1.0 - margin)
        return short if self.power == 1 else short**self.power


@loss(
    "Freund & Schapire 1997, A Decision-Theoretic Generalization of On-Line Learning (AdaBoost)",
    aliases=("adaboost",),
    surveys=("S2",),
    reach=40.0,  # the margin of two scores is twice as large, and exp overflows float32 at 88
)
class ExponentialLoss(MarginLoss):
    r"""The loss that AdaBoost minimises.

    $$\ell(m) = e^{-m}, \qquad m = y\,f,\ y = \pm 1$$

    Use it to study boosting. A single wrong label with a large score rules the sum, and float32 overflows at a margin
    of -88: for training networks take `BCELoss` or `HingeLoss`, which grow linearly.

    Args:
        multiclass: the margin of several classes, see `MarginLoss`.

    Shapes: binary scores and labels alike, labels ±1, 0/1 or bool; multiclass scores (N, C, *) and labels (N, *). The
    unreduced loss has the shape of the labels.

    Elsewhere: no torch, Keras or optax function; `sklearn.ensemble.GradientBoostingClassifier(loss="exponential")`
    works with it (there the score is half of the log-odds, as here).

    >>> import numpy as np, lossary
    >>> round(float(lossary.ExponentialLoss("binary")(np.array([1.0]), np.array([0]))), 4)
    2.7183
    """

    task: Task = option(kw_only=False)

    def values(self, xp: Namespace, margin: Array) -> Array:
        return xp.exp(-margin)

    def slope(self, xp: Namespace, margin: Array) -> Array:
        return -xp.exp(-margin)


@loss(
    "Vapnik 1995, The Nature of Statistical Learning Theory, the risk of classification",
    aliases=("01", "misclassification", "error_rate"),
    surveys=("S2",),
    differentiable=False,
)
class ZeroOneLoss(MarginLoss):
    r"""Whether the answer is wrong: what hinge and exponential loss stand in for.

    $$\ell(m) = [m \le 0], \qquad m = y\,f,\ y = \pm 1$$

    Use it to measure and to compare, never to train: its gradient is 0 wherever it exists. A margin of exactly 0 is an
    answer that the model does not give, and counts as wrong; so hinge and exponential loss bound it everywhere.

    Args:
        multiclass: the margin of several classes, see `MarginLoss`. `"crammer-singer"` is one minus the accuracy,
            `"one-vs-all"` the number of classes whose sign is wrong.

    Shapes: binary scores and labels alike, labels ±1, 0/1 or bool; multiclass scores (N, C, *) and labels (N, *). The
    unreduced loss has the shape of the labels.

    Elsewhere: `sklearn.metrics.zero_one_loss` of predicted labels; there a tie is won by the class of smallest index.

    >>> import numpy as np, lossary
    >>> scores, target = np.array([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]]), np.array([0, 0, 0])
    >>> round(float(lossary.ZeroOneLoss("multiclass")(scores, target)), 4)
    0.3333
    """

    task: Task = option(kw_only=False)

    def values(self, xp: Namespace, margin: Array) -> Array:
        # 1 - sign, so that the result stays in the graph, with gradient 0
        return xp.where(margin > 0, 1.0 - sign(xp, margin), 1.0)

    def slope(self, xp: Namespace, margin: Array) -> Array:
        return xp.zeros_like(margin)
