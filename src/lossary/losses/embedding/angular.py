"""Softmax cross entropy with a margin in the angle between a feature and the prototype of its class."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import Any, ClassVar

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import sizes
from lossary.core import contract
from lossary.core.families import AngularLoss
from lossary.core.families.embedding import Angle, Features
from lossary.core.loss import family, loss
from lossary.core.options import Domain, option

ANNEALING = Domain(low=0.0, below=True)


@family
class MultipliedAngleLoss(AngularLoss):
    """Margins that multiply the angle: cos θ becomes ψ(θ), which falls as cos mθ does until θ = π/m, and on from there.

    The operand `annealing` is λ, a number ≥ 0: the true class gets (λ cos θ + ψ(θ)) / (1 + λ).
    """

    operands: ClassVar[tuple[str, ...]] = ("prototypes", "annealing")
    optional: ClassVar[tuple[str, ...]] = ("annealing",)
    shared: ClassVar[tuple[str, ...]] = ("prototypes", "annealing")

    margin: int = option(default=4, low=1)

    def prepare(
        self,
        prediction: Array,
        target: Array,
        *,
        mask: Array | None,
        sample_weight: Array | None,
        operands: Mapping[str, Any],
    ) -> Features:
        # a number of Python (or of NumPy) may stand for an array here
        annealing = operands.get("annealing")
        plain = {"annealing": float(annealing)} if isinstance(annealing, numbers.Real) else {}
        for number in plain.values():
            if not 0 <= number < math.inf:
                raise ValueError(
                    f"{type(self).__name__}: `annealing` must be one finite number, at least 0; got {annealing}"
                )
        arrays = {name: x for name, x in operands.items() if name not in plain}
        batch = super().prepare(prediction, target, mask=mask, sample_weight=sample_weight, operands=arrays)
        return dataclasses.replace(batch, operands={**batch.operands, **plain})

    def check_operands(self, width: int, operands: Mapping[str, Any]) -> None:
        super().check_operands(width, operands)
        if "annealing" not in operands:
            return
        name, annealing = type(self).__name__, operands["annealing"]
        if sizes(annealing) != ():
            raise ValueError(f"{name}: `annealing` must be one number, at least 0; got shape {sizes(annealing)}")
        if contract.checking(annealing):
            contract.in_domain(name, "annealing", annealing, ANNEALING)

    def cosine(self, batch: Features, angle: Angle) -> Array:
        cos, annealing = angle.cos, batch.operands.get("annealing", 0.0)
        return (annealing * cos + psi(batch.xp, cos, self.margin)) / (1.0 + annealing)


def psi(xp: Namespace, cos: Array, margin: int) -> Array:
    """ψ(θ) = (-1)^k cos mθ - 2k for kπ/m ≤ θ ≤ (k+1)π/m.

    cos mθ is a polynomial of cos θ (Chebyshev's), so no angle is taken, and no slope grows without bound at θ = 0.
    """
    before, multiple = 1.0, cos
    for _ in range(margin - 1):
        before, multiple = multiple, 2.0 * cos * multiple - before
    sign, pieces = 1.0, 0.0
    for k in range(1, margin):
        passed = xp.astype(cos < math.cos(k * math.pi / margin), cos.dtype)
        sign, pieces = sign * (1.0 - 2.0 * passed), pieces + passed
    return sign * multiple - 2.0 * pieces


@loss(
    "Liu et al. 2016, Large-Margin Softmax Loss for Convolutional Neural Networks, eq. 4-6",
    arxiv="1612.02295",
    aliases=("l_softmax",),
    surveys=("S4",),
)
class LargeMarginSoftmaxLoss(MultipliedAngleLoss):
    r"""Softmax cross entropy that a feature must win with m times its angle to the prototype of its class (L-Softmax).

    $$\ell = -\ln\frac{e^{\lVert w_y\rVert\lVert x\rVert\psi(\theta_y)}}{e^{\lVert w_y\rVert\lVert x\rVert
      \psi(\theta_y)} + \sum_{c\ne y} e^{w_c^\top x}}$$

    $$\psi(\theta) = (-1)^k \cos m\theta - 2k, \qquad \theta \in \Big[\frac{k\pi}{m}, \frac{(k+1)\pi}{m}\Big]$$

    Use it in place of the last linear layer (without bias) and softmax, for classes that should be compact and far
    apart. With m = 4 it hardly trains from the start: begin with a large `annealing` and let it fall. `ArcFaceLoss` and
    `CosFaceLoss` are easier to train and need no annealing.

    Args:
        margin: m, a whole number; 1 is softmax cross entropy of the scores w·x.
        prototypes: an argument of the call: w, (C, D), the weights of that layer; `lossary.torch.Prototypes` owns them.
        annealing: an argument of the call, a number or 0-d array: λ, 0 if left out. The paper's training starts with a
            very large one and stops at a small one; an array can change from step to step in a compiled program.
        class_weight, ignore_index, mask, sample_weight: weights of classes, places left out and weights of places.

    Shapes: features (*, D), target (*) integers, prototypes (C, D); the unreduced loss is (*).

    Elsewhere: `pytorch_metric_learning.losses.LargeMarginSoftmaxLoss(C, D, margin=4, scale=1)`, which has no annealing
    and owns the prototypes as columns. What is called large-margin softmax in CoinCheung/pytorch-loss is Kobayashi's
    regulariser (BMVC 2019), another loss.

    >>> import numpy as np, lossary
    >>> x, prototypes = np.array([[1.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> loss = lossary.LargeMarginSoftmaxLoss(margin=2)  # cos 2θ = 0 for θ = 45°: a score of 0 against 1
    >>> round(float(loss(x, np.array([0]), prototypes=prototypes)), 4)
    1.3133
    >>> round(float(loss(x, np.array([0]), prototypes=prototypes, annealing=1.0)), 4)
    0.9741
    """

    unit_prototypes = False


@loss(
    "Liu et al. 2017, SphereFace: Deep Hypersphere Embedding for Face Recognition, eq. 7",
    arxiv="1704.08063",
    aliases=("a_softmax",),
)
class SphereFaceLoss(MultipliedAngleLoss):
    r"""`LargeMarginSoftmaxLoss` with prototypes of length 1, so that only angles decide (A-Softmax).

    $$\ell = -\ln\frac{e^{\lVert x\rVert\psi(\theta_y)}}{e^{\lVert x\rVert\psi(\theta_y)} +
      \sum_{c\ne y} e^{\lVert x\rVert\cos\theta_c}}$$

    Use it for recognition of identities never trained on, where features are compared by their angle. The length of the
    feature is its temperature and stays free. It needs `annealing`; `ArcFaceLoss` and `CosFaceLoss` do not.

    Args:
        margin: m, a whole number; 1 is softmax cross entropy with normalised prototypes.
        prototypes: an argument of the call: w, (C, D), of any length but 0; `lossary.torch.Prototypes` owns them.
        annealing: an argument of the call: λ, see `LargeMarginSoftmaxLoss`; the authors let it fall to 5.
        class_weight, ignore_index, mask, sample_weight: weights of classes, places left out and weights of places.

    Shapes: features (*, D), target (*) integers, prototypes (C, D); the unreduced loss is (*).

    Elsewhere: `pytorch_metric_learning.losses.SphereFaceLoss(C, D, margin=4, scale=1)`, which has no annealing and owns
    the prototypes as columns.

    >>> import numpy as np, lossary
    >>> x, prototypes = np.array([[1.0, 1.0]]), np.array([[5.0, 0.0], [0.0, 2.0]])
    >>> loss = lossary.SphereFaceLoss(margin=2)  # √2·cos 90° = 0 against √2·cos 45° = 1
    >>> round(float(loss(x, np.array([0]), prototypes=prototypes)), 4)
    1.3133
    """


@loss(
    "Deng et al. 2019, ArcFace: Additive Angular Margin Loss for Deep Face Recognition, eq. 3",
    arxiv="1801.07698",
    aliases=("additive_angular_margin",),
)
class ArcFaceLoss(AngularLoss):
    r"""Softmax cross entropy of cosines, with a margin added to the angle of the true class.

    $$\ell = -\ln\frac{e^{s\cos(\theta_y + m)}}{e^{s\cos(\theta_y + m)} + \sum_{c\ne y} e^{s\cos\theta_c}}$$

    Use it for recognition of identities never trained on (faces, speakers, products). With few samples per class, or
    labels that are wrong often, take a smaller margin or `CosFaceLoss`.

    Args:
        margin: m, in radians; 0 is softmax cross entropy of scaled cosines.
        scale: s; too small a scale cannot tell many classes apart.
        monotone: the cosine of θ + m rises again where θ > π - m, so eq. 3 draws the worst features the wrong way. True
            takes cos θ - m sin m there, as the authors' code does.
        prototypes: an argument of the call: w, (C, D), of any length but 0; `lossary.torch.Prototypes` owns them.
        class_weight, ignore_index, mask, sample_weight: weights of classes, places left out and weights of places.

    Shapes: features (*, D) of any length, target (*) integers, prototypes (C, D); the unreduced loss is (*).

    Elsewhere: `pytorch_metric_learning.losses.ArcFaceLoss` is `monotone=True`; it has its margin in degrees (28.6),
    owns the prototypes as columns, and takes the angle from the cosine alone, which loses it near 0 and has no bound on
    the slope. insightface's torch `ArcFace` has the value of eq. 3, but moves the angle outside the graph: its gradient
    is that of a cosine less by a constant, as in `CosFaceLoss`. Its older versions are `monotone=True`.

    >>> import numpy as np, lossary
    >>> x, prototypes = np.array([[3.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 1.0]])
    >>> loss = lossary.ArcFaceLoss(margin=np.pi / 3, scale=2)  # 2·cos 60° = 1 against 2·cos 90° = 0
    >>> round(float(loss(x, np.array([0]), prototypes=prototypes)), 4)
    0.3133
    """

    margin: float = option(default=0.5, low=0, high=math.pi / 2)
    scale: float = option(default=64.0, above=0)
    monotone: bool = option(default=False)

    @property
    def radius(self) -> float:
        return self.scale

    def cosine(self, batch: Features, angle: Angle) -> Array:
        cos = angle.cos
        moved = cos * math.cos(self.margin) - angle.sin * math.sin(self.margin)
        if not self.monotone:
            return moved
        return batch.xp.where(cos > -math.cos(self.margin), moved, cos - self.margin * math.sin(self.margin))


@loss(
    "Wang et al. 2018, CosFace: Large Margin Cosine Loss for Deep Face Recognition, eq. 4",
    arxiv="1801.09414",
    aliases=("am_softmax", "large_margin_cosine"),
)
class CosFaceLoss(AngularLoss):
    r"""Softmax cross entropy of cosines, with a margin taken off the cosine of the true class.

    $$\ell = -\ln\frac{e^{s(\cos\theta_y - m)}}{e^{s(\cos\theta_y - m)} + \sum_{c\ne y} e^{s\cos\theta_c}}$$

    Use it where `ArcFaceLoss` is used; it is the simplest of the angular margins, and trains without care from the
    start. Additive-margin softmax (AM-Softmax, Wang et al. 2018) is the same loss.

    Args:
        margin: m, in cosines; 0 is softmax cross entropy of scaled cosines.
        scale: s; too small a scale cannot tell many classes apart.
        prototypes: an argument of the call: w, (C, D), of any length but 0; `lossary.torch.Prototypes` owns them.
        class_weight, ignore_index, mask, sample_weight: weights of classes, places left out and weights of places.

    Shapes: features (*, D) of any length, target (*) integers, prototypes (C, D); the unreduced loss is (*).

    Elsewhere: `pytorch_metric_learning.losses.CosFaceLoss(C, D, margin=0.35, scale=64)`, which owns the prototypes as
    columns; insightface's `CosFace` (its margin is .4).

    >>> import numpy as np, lossary
    >>> x, prototypes = np.array([[3.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 1.0]])
    >>> loss = lossary.CosFaceLoss(margin=0.5, scale=2)  # 2·(1 - .5) = 1 against 2·0
    >>> round(float(loss(x, np.array([0]), prototypes=prototypes)), 4)
    0.3133
    """

    margin: float = option(default=0.35, low=0)
    scale: float = option(default=64.0, above=0)

    @property
    def radius(self) -> float:
        return self.scale

    def cosine(self, batch: Features, angle: Angle) -> Array:
        return angle.cos - self.margin
