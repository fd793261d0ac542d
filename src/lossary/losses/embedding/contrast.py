"""Losses of the cosines between the features of a batch: an anchor's positives against its negatives."""

from __future__ import annotations

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import log_softmax, log_sum_exp, softplus, stop_gradient
from lossary.core.families import SimilarityLoss
from lossary.core.families.embedding import FAR, mean_where
from lossary.core.loss import loss
from lossary.core.options import option


@loss(
    "van den Oord et al. 2018, Representation Learning with Contrastive Predictive Coding, eq. 4; Chen et al. 2020, "
    "A Simple Framework for Contrastive Learning of Visual Representations, eq. 1 (NT-Xent)",
    arxiv="1807.03748",
    aliases=("nt_xent", "simclr"),
)
class InfoNCELoss(SimilarityLoss):
    r"""Cross entropy of finding a positive among negatives by its cosine (InfoNCE, NT-Xent).

    $$\ell_i = \frac{1}{|P_i|}\sum_{p \in P_i} -\ln\frac{e^{s_{ip}/\tau}}{e^{s_{ip}/\tau} + \sum_{n \in N_i}
      e^{s_{in}/\tau}}$$

    Use it to learn features without class labels: two views of a sample get one label, its number. Where classes are
    known and an anchor has many positives, `SupConLoss` weighs them as its paper found best. Large batches help,
    because every other sample is a negative.

    Args:
        temperature: τ; small ones look at the hardest negatives only.
        ignore_index, mask, sample_weight: features left out (as negatives too) and weights of anchors.

    Shapes: features (*, D) of any length, labels (*): (N, 2, D) and (N, 2), say, for two views. The unreduced loss is
    (*). P_i are the other features of the label, N_i those of other labels. An anchor without positives counts nowhere.

    Elsewhere: `pytorch_metric_learning.losses.NTXentLoss(temperature)` and `optax.losses.ntxent`, which average over
    pairs, not anchors: the same where all anchors have equally many positives. optax is NaN where no anchor has one.
    MONAI's `ContrastiveLoss` is this loss for two views; it overflows at τ = .01.

    >>> import numpy as np, lossary
    >>> views = np.array([[[1.0, 0.0], [2.0, 0.0]], [[0.0, 1.0], [0.0, 3.0]]])  # s = 1 for positives, 0 for negatives
    >>> labels = np.array([[0, 0], [1, 1]])
    >>> round(float(lossary.InfoNCELoss(temperature=1)(views, labels)), 4)  # ln(1 + 2/e)
    0.5514
    """

    temperature: float = option(default=0.1, above=0)

    def values(self, xp: Namespace, quantity: Array, positive: Array, negative: Array) -> Array:
        score = quantity / self.temperature
        others = log_sum_exp(xp.where(negative, score, -FAR), 1)
        return mean_where(xp, softplus(xp.expand_dims(others, axis=1) - score), positive)


@loss(
    "Khosla et al. 2020, Supervised Contrastive Learning, eq. 2",
    arxiv="2004.11362",
    aliases=("supervised_contrastive",),
)
class SupConLoss(SimilarityLoss):
    r"""Cross entropy of finding each of an anchor's positives among all other features, by cosine.

    $$\ell_i = -\frac{1}{|P_i|}\sum_{p \in P_i} \ln\frac{e^{s_{ip}/\tau}}{\sum_{a \ne i} e^{s_{ia}/\tau}}$$

    Use it to learn features of known classes, in batches that hold several samples (or views) of each class, before a
    linear classifier. With one positive an anchor it is `InfoNCELoss`; with more, the positives compete.

    Args:
        temperature: τ.
        ignore_index, mask, sample_weight: features left out (as negatives too) and weights of anchors.

    Shapes: features (*, D) of any length, labels (*): (N, 2, D) and (N, 2), say, for two views. The unreduced loss is
    (*). P_i are the other features of the label. An anchor without positives counts nowhere.

    Elsewhere: `pytorch_metric_learning.losses.SupConLoss(temperature)`, whose mean leaves out anchors of loss 0 too.
    The authors' SupContrast multiplies by τ/.07, and its older versions are NaN for an anchor without positives.

    >>> import numpy as np, lossary
    >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [-1.0, 0.0]])
    >>> loss = lossary.SupConLoss(temperature=1, reduction="none")
    >>> loss(x, np.array([0, 1, 1, 3])).round(4).tolist()  # ln(1 + 2/e) for the two of one class
    [0.0, 0.5514, 0.5514, 0.0]
    """

    temperature: float = option(default=0.1, above=0)

    def values(self, xp: Namespace, quantity: Array, positive: Array, negative: Array) -> Array:
        others = xp.logical_or(positive, negative)
        log_p = log_softmax(xp.where(others, quantity / self.temperature, -FAR), 1)
        return -mean_where(xp, log_p, positive)


@loss(
    "Sun et al. 2020, Circle Loss: A Unified Perspective of Pair Similarity Optimization, eq. 6",
    arxiv="2002.10857",
    constant="α",
)
class CircleLoss(SimilarityLoss):
    r"""Every similarity pulled to its optimum with a strength that grows with its distance from there.

    $$\ell_i = \ln\Big(1 + \sum_{n \in N_i} e^{\gamma\alpha_n(s_{in} - m)} \sum_{p \in P_i} e^{-\gamma\alpha_p(s_{ip} -
      1 + m)}\Big), \qquad \alpha_p = (1 + m - s_{ip})_+,\quad \alpha_n = (s_{in} + m)_+$$

    Use it for retrieval of known classes, where `TripletLoss` treats a pair that is nearly right like one that is all
    wrong. The gradient holds α constant, as the paper's does.

    Args:
        margin: m; positives should reach a cosine of 1 - m, negatives m. The paper takes .25 for faces and people.
        scale: γ; the paper takes 80 for retrieval and 256 for faces.
        ignore_index, mask, sample_weight: features left out (as negatives too) and weights of anchors.

    Shapes: features (*, D) of any length, labels (*); the unreduced loss is (*). P_i are the other features of the
    label, N_i those of other labels. An anchor without positives counts nowhere.

    Elsewhere: `pytorch_metric_learning.losses.CircleLoss(m=0.4, gamma=80)`, whose mean leaves out anchors of loss 0.
    `keras.losses.Circle` takes cosine distances of features that it does not normalise.

    >>> import numpy as np, lossary
    >>> x = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    >>> loss = lossary.CircleLoss(margin=0.5, scale=2, reduction="none")
    >>> loss(x, np.array([0, 0, 1])).round(4).tolist()  # ln(1 + e^(2·.5·(0-.5)) · e^(-2·.5·(1-.5)))
    [0.3133, 0.3133, 0.0]
    """

    margin: float = option(default=0.4, low=0, high=1)
    scale: float = option(default=80.0, above=0)

    def values(self, xp: Namespace, quantity: Array, positive: Array, negative: Array) -> Array:
        held, m = stop_gradient(quantity), self.margin
        pull = -xp.where(held < 1 + m, 1 + m - held, 0.0) * (quantity - (1 - m))
        push = xp.where(held > -m, held + m, 0.0) * (quantity - m)
        pulls, pushes = (
            log_sum_exp(xp.where(chosen, self.scale * strength, -FAR), 1)
            for chosen, strength in ((positive, pull), (negative, push))
        )
        return softplus(pulls + pushes)
