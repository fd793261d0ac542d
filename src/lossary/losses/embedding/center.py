"""Features drawn to the centre of their class."""

from __future__ import annotations

from lossary.array.namespace import Array
from lossary.array.primitives import length, lookup
from lossary.array.vectors import group_sums
from lossary.core import contract
from lossary.core.families.embedding import ClassVectorLoss, Features
from lossary.core.loss import loss


@loss(
    "Wen et al. 2016, A Discriminative Feature Learning Approach for Deep Face Recognition, eq. 2 and 4",
    surveys=("S4",),
)
class CenterLoss(ClassVectorLoss):
    r"""Half the squared distance of each feature from the centre of its class.

    $$\ell = \frac12 \lVert x - c_y \rVert^2$$

    Use it beside a softmax loss, with a small weight (the paper takes .003): the softmax keeps classes apart, this
    makes them compact. Alone it draws everything to one point. Centres are an argument, so their gradient may train
    them; `moved_centers` is the paper's own rule, and `lossary.torch.Prototypes` owns centres of either kind.

    Args:
        centers: an argument of the call: c, (C, D).
        class_weight, ignore_index, mask, sample_weight: weights of classes, places left out and weights of places.

    Shapes: features (*, D), target (*) integers, centers (C, D); the unreduced loss is (*).

    Elsewhere: no library of the field has it. KaiyangZhou/pytorch-center-loss is twice this mean (it leaves out the ½)
    and trains centres by gradient only. The paper's loss is the sum over the batch, `reduction="sum"`.

    >>> import numpy as np, lossary
    >>> x, centers = np.array([[3.0, 4.0], [1.0, 1.0]]), np.array([[0.0, 0.0], [1.0, 0.0]])
    >>> lossary.CenterLoss(reduction="none")(x, np.array([0, 1]), centers=centers).tolist()
    [12.5, 0.5]
    """

    class_vectors = "centers"
    operands = ("centers",)
    shared = ("centers",)

    def values(self, batch: Features, vectors: Array) -> Array:
        error = batch.rows - lookup(vectors, batch.labels)
        return 0.5 * batch.xp.sum(error * error, axis=1)

    def pulls(
        self, prediction: Array, target: Array, *, centers: Array, mask: Array | None = None
    ) -> tuple[Array, Array]:
        r"""$\sum_i [y_i = c](c - x_i)$, (C, D), and the number of features, (C, 1), of each class.

        They add up over shards: `moved_centers` is centers - rate · pulls / (1 + counts).
        """
        batch = self.prepare(prediction, target, mask=mask, sample_weight=None, operands={"centers": centers})
        xp, vectors = batch.xp, batch.operands["centers"]
        classes = length(centers, 0)
        error = lookup(vectors, batch.labels) - batch.rows
        one = xp.ones_like(error[:, :1])
        if batch.counted is not None:
            counts = xp.expand_dims(batch.counted, axis=1)
            error, one = xp.where(counts, error, 0.0), xp.where(counts, one, 0.0)
        return group_sums(error, batch.labels, classes), group_sums(one, batch.labels, classes)

    def moved_centers(
        self, prediction: Array, target: Array, *, centers: Array, rate: float = 0.5, mask: Array | None = None
    ) -> Array:
        r"""The centres after a step of the paper's rule (eq. 4), with α = `rate`, as a new array.

        $$c \leftarrow c - \alpha\,\frac{\sum_i [y_i = c]\,(c - x_i)}{1 + \sum_i [y_i = c]}$$

        Args:
            prediction, target, centers, mask: as in a call of the loss; labels that are ignored move nothing.
            rate: α, in [0, 1].

        >>> import numpy as np, lossary
        >>> x, centers = np.array([[4.0, 0.0], [8.0, 0.0]]), np.zeros((2, 2))
        >>> lossary.CenterLoss().moved_centers(x, np.array([0, 0]), centers=centers).tolist()  # ½ · 12/(1+2)
        [[2.0, 0.0], [0.0, 0.0]]
        """
        if not 0 <= rate <= 1:
            raise ValueError(f"{type(self).__name__}: `rate` must be in [0, 1]; got {rate!r}")
        pulls, counts = self.pulls(prediction, target, centers=centers, mask=mask)
        return centers - contract.cast(contract.namespace(centers), rate * pulls / (1.0 + counts), centers.dtype)
