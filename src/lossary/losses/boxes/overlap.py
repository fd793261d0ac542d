"""Losses of the overlap of two boxes."""

from __future__ import annotations

import math
from typing import Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import apply_where, power
from lossary.core.families import BoxLoss, BoxPair
from lossary.core.loss import loss
from lossary.core.options import option


@loss("Yu et al. 2016, UnitBox: An Advanced Object Detection Network", arxiv="1608.01471", surveys=("S0", "S2"))
class IoULoss(BoxLoss):
    r"""One minus the intersection over union, or its logarithm.

    $$\ell = 1 - \mathrm{IoU}, \qquad \ell_{\text{log}} = -\ln \max(\mathrm{IoU}, \text{floor}), \qquad
      \ell_{\text{squared}} = 1 - \mathrm{IoU}^2$$

    Use it where prediction and target overlap from the start, or as the measure itself. Disjoint boxes cost 1 (-ln
    floor in the logarithmic form) with gradient 0 in every form, however far apart they are: `GIoULoss` and `DIoULoss`
    pull those together.

    Args:
        form: `"linear"`, 1 - IoU; `"log"`, UnitBox's -ln IoU, steeper where boxes overlap little; `"squared"`, 1 -
            IoU², steeper where they overlap well.
        floor: the IoU at which `"log"` stops growing; below it the gradient is 0. The other forms do not use it.
        format: `"xyxy"`, `"xywh"` or `"cxcywh"`, the same for prediction and target.

    Shapes: (..., 4) both; the unreduced loss has the leading shape. It does not depend on the unit. Two equal boxes
    give exactly 0, points included.

    Elsewhere: mmdetection's `IoULoss` has `mode="log"` by default, with `eps=1e-6` as floor, and the same three forms.
    A survey (Jadon 2020) calls a segmentation loss by this name: that is `JaccardLoss`.

    >>> import numpy as np, lossary
    >>> half = np.array([[0.0, 0, 1, 1]]), np.array([[0.0, 0, 2, 1]])
    >>> [round(float(lossary.IoULoss(form=form)(*half)), 4) for form in ("linear", "log", "squared")]
    [0.5, 0.6931, 0.75]
    """

    form: Literal["linear", "log", "squared"] = option(default="linear")
    floor: float = option(default=1e-6, above=0, below=1)

    def values(self, xp: Namespace, pair: BoxPair) -> Array:
        if self.form == "log":
            apart = pair.iou <= self.floor  # NaN is not
            return apply_where(xp, xp.logical_not(apart), lambda iou: -xp.log(iou), pair.iou, -math.log(self.floor))
        return 1.0 - (pair.iou if self.form == "linear" else pair.iou**2)


@loss(
    "Rezatofighi et al. 2019, Generalized Intersection over Union",
    arxiv="1902.09630",
    surveys=("S0", "S2", "S4"),
    span=(0.0, 2.0),
)
class GIoULoss(BoxLoss):
    r"""One minus the generalised IoU: IoU that also sees how far apart disjoint boxes are.

    $$\ell = 1 - \mathrm{IoU} + \frac{|C \setminus (A \cup B)|}{|C|}, \qquad C \text{ the enclosing box}$$

    Use it to regress boxes; unlike 1 - IoU it has a gradient for disjoint boxes, by growing the prediction towards the
    target. When one box contains the other the second term is 0 and it cannot tell positions apart: `CIoULoss` can.

    Args:
        format: `"xyxy"`, `"xywh"` or `"cxcywh"`, the same for prediction and target.

    Shapes: (..., 4) both; the unreduced loss has the leading shape. It does not depend on the unit. Two equal boxes
    give exactly 0, points included.

    Elsewhere: `torchvision.ops.generalized_box_iou_loss` adds 1e-7 to the areas, so equal boxes of side 1e-3 give 0.09
    there; it agrees at ordinary sizes.

    >>> import numpy as np, lossary
    >>> round(float(lossary.GIoULoss()(np.array([[0.0, 0, 1, 1]]), np.array([[2.0, 0, 3, 1]]))), 4)
    1.3333
    """

    def values(self, xp: Namespace, pair: BoxPair) -> Array:
        return 1.0 - pair.iou + pair.hull_gap


@loss(
    "He et al. 2021, Alpha-IoU: A Family of Power Intersection over Union Losses",
    arxiv="2110.13675",
    span=(0.0, 3.0),
    constant="α of base='ciou'",
)
class AlphaIoULoss(BoxLoss):
    r"""An IoU loss whose every term is raised to a power: well-placed boxes weigh more.

    $$\ell = 1 - \mathrm{IoU}^\alpha + P^\alpha, \quad P_{\text{giou}} = \frac{|C \setminus (A \cup B)|}{|C|}, \quad
      P_{\text{diou}} = \frac{\rho^2}{c^2}$$

    Use it for accurate boxes (AP at high thresholds) and where box labels are noisy: above α = 1 boxes of high IoU get
    the larger gradients. Boxes that hardly overlap learn more slowly than with the base loss. `base="ciou"` adds (βv)^α
    to the DIoU form, β the weight of CIoU, held constant in the gradient.

    Args:
        alpha: the power; 1 is the base loss.
        base: `"iou"` (no penalty), `"giou"`, `"diou"` or `"ciou"`.
        format: `"xyxy"`, `"xywh"` or `"cxcywh"`, the same for prediction and target.

    Shapes: (..., 4) both; the unreduced loss has the leading shape. It does not depend on the unit.

    Elsewhere: the authors' code, a fork of YOLOv5, adds 1e-7 inside every power; the value agrees at ordinary sizes.

    >>> import numpy as np, lossary
    >>> float(lossary.AlphaIoULoss()(np.array([[0.0, 0, 1, 1]]), np.array([[0.0, 0, 2, 1]])))
    0.875
    """

    alpha: float = option(default=3.0, above=0)
    base: Literal["iou", "giou", "diou", "ciou"] = option(default="iou")

    def values(self, xp: Namespace, pair: BoxPair) -> Array:
        def raised(term: Array) -> Array:
            # a share that rounding has made -1e-17 has no power
            return power(xp, xp.maximum(term, xp.zeros_like(term)), self.alpha)

        value = 1.0 - raised(pair.iou)
        if self.base == "giou":
            return value + raised(pair.hull_gap)
        if self.base in ("diou", "ciou"):
            value = value + raised(pair.center_distance)
        return value + raised(pair.aspect_penalty) if self.base == "ciou" else value


@loss(
    "Zhang et al. 2023, Inner-IoU: More Effective Intersection over Union Loss with Auxiliary Bounding Box",
    arxiv="2311.02877",
    span=(0.0, 1.0),
)
class InnerIoULoss(BoxLoss):
    r"""One minus the IoU of both boxes scaled about their centres.

    $$\ell = 1 - \mathrm{IoU}(A_r, B_r), \qquad A_r \text{ of sides } r w, r h \text{ and the centre of } A$$

    Use it to speed up regression: with `ratio` below 1 boxes that overlap well get steeper slopes, with a ratio above 1
    boxes that do not overlap yet are reached. The paper puts it in the place of IoU in other losses: `InnerIoULoss() +
    DIoULoss() + -1 * IoULoss()` is its Inner-DIoU.

    Args:
        ratio: the scale of the auxiliary boxes; the paper takes 0.5 to 1.5.
        format: `"xyxy"`, `"xywh"` or `"cxcywh"`, the same for prediction and target.

    Shapes: (..., 4) both; the unreduced loss has the leading shape. It does not depend on the unit.

    Elsewhere: copies in forks of YOLO add 1e-7 to the union; `ratio=1` is `IoULoss`.

    >>> import numpy as np, lossary
    >>> pair = np.array([[0.0, 0, 1, 1]]), np.array([[0.5, 0, 1.5, 1]])
    >>> [round(float(lossary.InnerIoULoss(ratio=r)(*pair)), 4) for r in (0.5, 1, 1.5)]
    [1.0, 0.6667, 0.5]
    """

    ratio: float = option(default=0.75, above=0)

    def values(self, xp: Namespace, pair: BoxPair) -> Array:
        return 1.0 - pair.scaled(self.ratio).iou
