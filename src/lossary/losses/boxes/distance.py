"""Losses of overlap, distance of the centres and shape."""

from __future__ import annotations

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import power, stop_gradient
from lossary.core.families import BoxLoss, BoxPair
from lossary.core.families.box import Boxes
from lossary.core.families.elements import weighted
from lossary.core.loss import loss
from lossary.core.options import option
from lossary.core.reduction import Mean, Terms, mean_statistics


@loss(
    "Zheng et al. 2020, Distance-IoU Loss, eq. 7",
    arxiv="1911.08287",
    surveys=("S0", "S2", "S4"),
    span=(0.0, 2.0),
)
class DIoULoss(BoxLoss):
    r"""One minus IoU, plus the squared distance of the centres as a share of the enclosing box's diagonal.

    $$\ell = 1 - \mathrm{IoU} + \frac{\rho^2}{c^2}$$

    Use it to regress boxes that may start disjoint or one inside the other; it pulls centres together in every case.
    It does not see the aspect ratio: two boxes with one centre differ by their IoU only, see `CIoULoss` and `EIoULoss`.

    Args:
        format: `"xyxy"`, `"xywh"` or `"cxcywh"`, the same for prediction and target.

    Shapes: (..., 4) both; the unreduced loss has the leading shape. It does not depend on the unit. Two equal boxes
    give exactly 0, points included.

    Elsewhere: `torchvision.ops.distance_box_iou_loss` agrees at ordinary sizes (it adds 1e-7 to the denominators). The
    paper's own code has a gradient that is not the derivative of this formula (the sign of the c² term is flipped);
    `lossary simulate boxes` shows what that changes.

    >>> import numpy as np, lossary
    >>> round(float(lossary.DIoULoss()(np.array([[0.0, 0, 1, 1]]), np.array([[2.0, 0, 3, 1]]))), 4)
    1.4
    """

    def values(self, xp: Namespace, pair: BoxPair) -> Array:
        return 1.0 - pair.iou + pair.center_distance


@loss(
    "Zheng et al. 2020, Distance-IoU Loss, eq. 10 to 12",
    arxiv="1911.08287",
    surveys=("S0", "S2", "S4"),
    span=(0.0, 2.5),  # α·v is at most ½
    constant="α",
)
class CIoULoss(BoxLoss):
    r"""Complete IoU: overlap, distance of the centres and aspect ratio.

    $$\ell = 1 - \mathrm{IoU} + \frac{\rho^2}{c^2} + \alpha v, \quad
      v = \frac{4}{\pi^2}\Big(\arctan\frac{w'}{h'} - \arctan\frac{w}{h}\Big)^2, \quad \alpha =
      \frac{v}{(1-\mathrm{IoU})+v}$$

    Use it to regress boxes; it is the default of many detectors. ρ is the distance of the centres and c the diagonal of
    the enclosing box. α is held constant in the gradient, as the paper's derivation has it.

    Args:
        format: `"xyxy"`, `"xywh"` or `"cxcywh"`, the same for prediction and target.

    Shapes: (..., 4) both; the unreduced loss has the leading shape. It does not depend on the unit. The gradient is
    finite for boxes of width or height 0.

    Elsewhere: `torchvision.ops.complete_box_iou_loss` agrees at ordinary sizes and gives NaN gradients for a height of
    0. mmdetection sets α to 0 for IoU < 0.5; the paper's code drops the factor 1/(w²+h²) of the gradient of v; Keras
    lets the gradient through α.

    >>> import numpy as np, lossary
    >>> round(float(lossary.CIoULoss()(np.array([[0.0, 0, 1, 0]]), np.array([[0.0, 0, 1, 1]]))), 4)
    1.175
    """

    def values(self, xp: Namespace, pair: BoxPair) -> Array:
        return 1.0 - pair.iou + pair.center_distance + pair.aspect_penalty


@loss(
    "Zhang et al. 2021, Focal and Efficient IOU Loss, eq. 6",
    arxiv="2101.08158",
    surveys=("S0",),
    span=(0.0, 3.25),  # a target without size in the corner of a box: 1 + ¼ + 1 + 1
)
class EIoULoss(BoxLoss):
    r"""Efficient IoU: DIoU plus the differences of width and height, each on its own.

    $$\ell = 1 - \mathrm{IoU} + \frac{\rho^2}{c^2} + \frac{(w-w')^2}{C_w^2} + \frac{(h-h')^2}{C_h^2}$$

    Use it to regress boxes where CIoU's aspect term converges slowly: width and height have slopes of their own, which
    never work against each other. C_w and C_h are the sides of the enclosing box.

    Args:
        format: `"xyxy"`, `"xywh"` or `"cxcywh"`, the same for prediction and target.

    Shapes: (..., 4) both; the unreduced loss has the leading shape. It does not depend on the unit. Two equal boxes
    give exactly 0, points included.

    Elsewhere: mmdetection's `EIoULoss` is another loss of that name, the extended IoU of Peng & Yu 2021. Some
    surveys print c² in the last denominator; the paper has C_h².

    >>> import numpy as np, lossary
    >>> float(lossary.EIoULoss()(np.array([[0.0, 0, 1, 1]]), np.array([[0.0, 0, 2, 1]])))
    0.8
    """

    def values(self, xp: Namespace, pair: BoxPair) -> Array:
        return 1.0 - pair.iou + pair.center_distance + pair.side_distance


@loss(
    "Zhang et al. 2021, Focal and Efficient IOU Loss, eq. 13",
    arxiv="2101.08158",
    aliases=("f_eiou",),
    surveys=("S0",),
    span=(0.0, 3.25),  # a target without size in the corner of a box: 1 + ¼ + 1 + 1
    constant="the weight IoU^γ",
    unseen="boxes that do not overlap, whose weight is 0",
)
class FocalEIoULoss(BoxLoss):
    r"""EIoU, with more weight on boxes that overlap well.

    $$L = \frac{\sum_i \mathrm{IoU}_i^\gamma \, \ell_{\text{EIoU}, i}}{\sum_i \mathrm{IoU}_i^\gamma}$$

    Use it where many poor predictions drown the few good ones that decide AP at high thresholds. Disjoint boxes have
    weight 0 and learn nothing, so it needs predictions that overlap from the start (anchors matched by IoU); a batch of
    disjoint boxes only has nothing to average. The weight is held constant in the gradient, as in the paper.

    Args:
        gamma: power of the weight; 0 gives `EIoULoss`.
        normalize: True divides by the sum of the weights, as in the paper; False is the per-box form IoU^γ·EIoU,
            averaged as other losses are. It acts where there is a mean: `"sum"` and `"none"` give the weighted values.
        format: `"xyxy"`, `"xywh"` or `"cxcywh"`, the same for prediction and target.

    Shapes: (..., 4) both; the unreduced loss has the leading shape. With `normalize` the statistics are Σ w·ℓ and Σ w,
    so shards and micro-batches add up to the number of the whole batch.

    Elsewhere: most copies average IoU^γ·EIoU over all boxes (`normalize=False`) and many let the gradient through the
    weight, which rewards boxes for overlapping less.

    >>> import numpy as np, lossary
    >>> boxes = np.array([[0.0, 0, 1, 1], [0, 0, 2, 1]]), np.array([[0.0, 0, 2, 1], [0, 0, 2, 1]])
    >>> round(float(lossary.FocalEIoULoss(gamma=1)(*boxes)), 4)  # (0.5·0.8 + 1·0)/(0.5 + 1)
    0.2667
    """

    gamma: float = option(default=0.5, low=0)
    normalize: bool = option(default=True)

    def weights(self, xp: Namespace, pair: BoxPair) -> Array:
        return stop_gradient(power(xp, pair.iou, self.gamma))

    def values(self, xp: Namespace, pair: BoxPair) -> Array:
        return self.weights(xp, pair) * (1.0 - pair.iou + pair.center_distance + pair.side_distance)

    def evaluate(self, batch: Boxes) -> Terms:
        xp, pair = batch.xp, batch.pair
        included = self.weights(xp, pair) if self.normalize else None
        return weighted(xp, self.values(xp, pair), batch.counted, batch.weight, included)

    def summarize(self, batch: Boxes) -> Mean:
        if not self.normalize or self.reduction == "weighted_mean":
            return super().summarize(batch)
        # the mean's denominator, a count elsewhere, is that of the focal weights without the caller's own
        return Mean(
            mean_statistics(self.evaluate(batch), "sum").total,
            mean_statistics(self.evaluate(batch._replace(weight=None)), "weighted_mean").count,
        )
