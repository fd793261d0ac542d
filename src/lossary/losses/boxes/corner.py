"""Losses of the corners and sides, and other refinements that users of YOLO ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import divide, magnitude, power, stop_gradient
from lossary.core.families import BoxLoss, BoxPair
from lossary.core.loss import loss
from lossary.core.options import option


@loss(
    "Chen & Du 2021, Control Distance IoU and Control Distance IoU Loss Function",
    arxiv="2103.11696",
    surveys=("S0",),
    span=(0.0, 3.5),  # CIoU's 2½, and 1 for the corners
    constant="α of base='ciou'",
)
class CDIoULoss(BoxLoss):
    r"""An IoU loss plus the mean distance of the four corners.

    $$\ell = \ell_{\text{base}} + \frac{\|TL - TL'\| + \|TR - TR'\| + \|BR - BR'\| + \|BL - BL'\|}{4 c}$$

    Use it to regress boxes with one term for position and shape together: it is 0 only where all corners meet. The
    slope does not fade as the corners meet (a distance, not its square), so end with a small learning rate. c is the
    diagonal of the enclosing box.

    Args:
        base: the loss it is added to: `"iou"`, `"giou"`, `"diou"` or `"ciou"`.
        format: `"xyxy"`, `"xywh"` or `"cxcywh"`, the same for prediction and target.

    Shapes: (..., 4) both; the unreduced loss has the leading shape. It does not depend on the unit. Two equal boxes
    give exactly 0 with a finite gradient, points included.

    Elsewhere: the authors' code adds 0.001 times a distance between anchors and targets, in which no prediction occurs:
    it trains GIoU. Some surveys divide one norm by 4c; the paper divides the sum of four.

    >>> import numpy as np, lossary
    >>> pair = np.array([[0.0, 0, 3, 2]]), np.array([[0.0, 2, 3, 4]])
    >>> float(lossary.CDIoULoss()(*pair))  # 1 + 4·2/(4·5)
    1.4
    """

    base: Literal["iou", "giou", "diou", "ciou"] = option(default="iou")

    def values(self, xp: Namespace, pair: BoxPair) -> Array:
        value = 1.0 - pair.iou + pair.corner_distance
        if self.base == "giou":
            return value + pair.hull_gap
        if self.base in ("diou", "ciou"):
            value = value + pair.center_distance
        return value + pair.aspect_penalty if self.base == "ciou" else value


@loss(
    "Gevorgyan 2022, SIoU Loss: More Powerful Learning for Bounding Box Regression",
    arxiv="2205.12740",
    span=(0.0, 3.0 - math.exp(-1.0) - math.exp(-2.0)),  # distance up to 2(1 - e⁻²), shape up to 2(1 - e⁻¹), halved
)
class SIoULoss(BoxLoss):
    r"""IoU with a cost of distance that is softened along the diagonal, and a cost of shape.

    $$\ell = 1 - \mathrm{IoU} + \frac{\Delta + \Omega}{2}, \quad
      \Delta = \sum_{t=x,y} (1 - e^{-(2-\Lambda)\rho_t}), \quad
      \Omega = \sum_{t=w,h} (1 - e^{-\omega_t})^\theta$$

    Use it as an alternative to CIoU. ρ_t is the squared offset of the centres over the enclosing box's side along an
    axis; Λ = sin 2φ is the angle cost, φ the angle of the line between the centres to an axis, so a centre on an axis
    of the target pays the distance in full; ω_t is the difference of the sides over the larger of the two.

    Args:
        theta: how much the shape counts; the paper takes 2 to 6. A larger one forgives small differences.
        format: `"xyxy"`, `"xywh"` or `"cxcywh"`, the same for prediction and target.

    Shapes: (..., 4) both; the unreduced loss has the leading shape. It does not depend on the unit. Two equal boxes
    give exactly 0, points included.

    Elsewhere: mmdetection's `SIoULoss` has by default `neg_gamma=False`, with which its distance term rewards distance:
    disjoint boxes can cost 0 there. `neg_gamma=True` is the paper's formula.

    >>> import numpy as np, lossary
    >>> pair = np.array([[0.0, 0, 1, 1]]), np.array([[1.0, 0, 2, 1]])
    >>> round(float(lossary.SIoULoss()(*pair)), 4)  # 1 + (1 - exp(-2·(1/2)²))/2
    1.1967
    """

    theta: float = option(default=4.0, low=1)

    def values(self, xp: Namespace, pair: BoxPair) -> Array:
        across, along = (magnitude(xp, d) for d in pair.center_offset)
        slope = divide(xp, xp.minimum(across, along), xp.maximum(across, along))
        angle = 2.0 * slope / (1.0 + slope**2)  # 1 - 2 sin²(arctan(slope) - π/4), eq. 1 to 4

        # (no `sum` over a generator here: tf.function makes another number of it)
        def distance(share: Array) -> Array:
            return -xp.expm1((angle - 2.0) * share**2)

        def shape(difference: Array, larger: Array) -> Array:
            return power(xp, -xp.expm1(-divide(xp, magnitude(xp, difference), larger)), self.theta)

        (x, y), (dw, dh), p, t = pair.center_share, pair.side_difference, pair.prediction, pair.target
        shapes = shape(dw, xp.maximum(p.width, t.width)) + shape(dh, xp.maximum(p.height, t.height))
        return 1.0 - pair.iou + (distance(x) + distance(y) + shapes) / 2.0


@loss(
    "Ma & Xu 2023, MPDIoU: A Loss for Efficient and Accurate Bounding Box Regression",
    arxiv="2307.07662",
)
class MPDIoULoss(BoxLoss):
    r"""One minus IoU, plus the squared distances of two opposite corners.

    $$\ell = 1 - \mathrm{IoU} + \frac{d_{TL}^2 + d_{BR}^2}{W^2 + H^2}$$

    Use it to regress boxes with a penalty that is 0 only for equal boxes. W and H are the size of the image, so the
    penalty is small where boxes are small: without `image_size` the enclosing box takes its place, which keeps the
    loss free of the unit but is not what the paper proposes.

    Args:
        image_size: width and height of the image in the unit of the boxes; None takes the enclosing box of each pair.
        format: `"xyxy"`, `"xywh"` or `"cxcywh"`, the same for prediction and target.

    Shapes: (..., 4) both; the unreduced loss has the leading shape. Two equal boxes give exactly 0, points included.

    Elsewhere: forks of YOLO pass the size of the feature map or of the input for W and H; pass what your boxes are
    measured in.

    >>> import numpy as np, lossary
    >>> pair = np.array([[0.0, 0, 3, 2]]), np.array([[0.0, 2, 3, 4]])
    >>> float(lossary.MPDIoULoss()(*pair)), float(lossary.MPDIoULoss(image_size=(6, 8))(*pair))
    (1.32, 1.08)
    """

    image_size: Sequence[float] | None = option(default=None, above=0)

    def check_options(self) -> None:
        super().check_options()
        if self.image_size is not None and len(self.image_size) != 2:
            raise ValueError(f"`image_size` must be two numbers, width and height, or None; got {self.image_size}")

    def values(self, xp: Namespace, pair: BoxPair) -> Array:
        top_left, _, bottom_right, _ = pair.squared_corner_offsets
        if self.image_size is None:
            return 1.0 - pair.iou + divide(xp, top_left + bottom_right, pair.squared_diagonal)
        return 1.0 - pair.iou + (top_left + bottom_right) * (pair.scale / math.hypot(*self.image_size)) ** 2


@loss(
    "Tong et al. 2023, Wise-IoU: Bounding Box Regression Loss with Dynamic Focusing Mechanism, eq. 6 and 7 (v1)",
    arxiv="2301.10051",
    span=(0.0, math.e),
    constant="the diagonal of the enclosing box",
)
class WIoULoss(BoxLoss):
    r"""1 - IoU, amplified by the distance of the centres.

    $$\ell = \exp\Big(\frac{\rho^2}{c^2}\Big) (1 - \mathrm{IoU})$$

    Use it for anchors of mixed quality: the factor lies in [1, e], so bad geometry is punished little where boxes
    overlap well. c, the diagonal of the enclosing box, is held constant in the gradient, so that it cannot push a
    prediction away from the target to grow the enclosing box.

    Args:
        format: `"xyxy"`, `"xywh"` or `"cxcywh"`, the same for prediction and target.

    Shapes: (..., 4) both; the unreduced loss has the leading shape. It does not depend on the unit. Two equal boxes
    give exactly 0, points included.

    Elsewhere: this is version 1 of the paper. Versions 2 and 3 multiply it by a factor from a running mean of the loss,
    which is a state of training and no function of one batch: pass that factor as `sample_weight`.

    >>> import numpy as np, lossary
    >>> round(float(lossary.WIoULoss()(np.array([[0.0, 0, 1, 1]]), np.array([[0.0, 0, 2, 1]]))), 4)  # e^0.05 / 2
    0.5256
    """

    def values(self, xp: Namespace, pair: BoxPair) -> Array:
        share = divide(xp, pair.squared_center_offset, stop_gradient(pair.squared_diagonal))
        return xp.exp(share) * (1.0 - pair.iou)
