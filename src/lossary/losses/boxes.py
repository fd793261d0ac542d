"""Boxes: losses of the geometry between a predicted and a true box."""

from __future__ import annotations

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import divide, stop_gradient
from lossary.core.families import BoxLoss, BoxPair
from lossary.core.loss import loss


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
    "Zheng et al. 2020, Distance-IoU Loss, eq. 10 to 12",
    arxiv="1911.08287",
    surveys=("S0", "S2", "S4"),
    span=(0.0, 3.0),
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
        iou, v = pair.iou, pair.aspect_difference
        alpha = stop_gradient(divide(xp, v, 1.0 - iou + v))
        return 1.0 - iou + pair.center_distance + alpha * v
