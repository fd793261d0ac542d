"""Distance maps of segmentation masks: what boundary losses weigh places by.

>>> import numpy as np, lossary
>>> lossary.distance_map(np.array([[0, 0, 1, 1, 1, 0]])).tolist()
[[2.0, 1.0, -1.0, -2.0, -1.0, 1.0]]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from lossary.array.distance import label_distances, mask_distances
from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import sizes
from lossary.core import contract
from lossary.core.families.elements import index_or_zero, not_ignored, wide

Kind = Literal["signed", "unsigned", "border"]


def distance_map(
    target: Array,
    kind: Kind = "signed",
    *,
    classes: int | None = None,
    class_axis: int | None = None,
    batched: bool = True,
    ignore_index: int | None = None,
    spacing: Sequence[float] | None = None,
) -> Array:
    r"""The distance of each place of a mask to the nearest place on the other side of its boundary.

    $$d_i = \min_{j:\ t_j \ne t_i} \lVert x_i - x_j \rVert$$

    Use it in a data loader, once for each image, and pass the result to a loss as `distance=`; without it, losses
    compute the map in every step. A signed map serves all of them. It is exact, and computed on the host by the
    package `edt` (`pip install "lossary[segmentation]"`).

    A region that is empty or fills the image has no boundary: its map is 0. Ignored places count as background.

    Args:
        target: masks (bool, or numbers that are foreground above ½), or integer labels with `classes`.
        kind: `"signed"`, negative inside; `"unsigned"`, without a sign; `"border"`, signed with 0 on the places of the
            mask's border: inside one step is taken off, the smallest spacing.
        classes: the number of classes of a target of labels; the map has an axis of that many.
        class_axis: where that axis is (default: after the batch). For masks: which axis numbers classes or channels.
        batched: whether the first axis numbers images; False for one image, as a data set yields it.
        ignore_index: the label of places that are left out.
        spacing: the distance of neighbours along each axis of an image, such as millimetres; 1 by default.

    Returns:
        float32, in the library of `target` and on its device: of the shape of the masks, or that of the labels with
        the axis of classes. The axes of an image are the one to three that are left.

    Elsewhere: `scipy.ndimage.distance_transform_edt(mask, spacing)` plus that of `~mask` is the unsigned map, which
    MONAI's `HausdorffDTLoss` computes; `kind="border"` is the map that the authors of the boundary loss train with.

    >>> import numpy as np, lossary
    >>> labels = np.array([[0, 0, 1, 1, 2, 2]])
    >>> lossary.distance_map(labels, classes=3)[0].astype(int).tolist()
    [[-2, -1, 1, 2, 3, 4], [2, 1, -1, -1, 1, 2], [4, 3, 2, 1, -1, -2]]
    >>> lossary.distance_map(labels == 1, "border", spacing=(0.5,)).tolist()
    [[1.0, 0.5, 0.0, 0.0, 0.5, 1.0]]
    """
    name = "distance_map"
    if kind not in get_args(Kind):
        raise ValueError(f"{name}: `kind` must be one of {', '.join(map(repr, get_args(Kind)))}; got {kind!r}")
    xp, target, _ = contract.arrays(name, target, "target")
    steps = None if spacing is None else tuple(float(step) for step in spacing)
    if steps is not None and not all(step > 0 for step in steps):
        raise ValueError(f"{name}: every number of `spacing` must be above 0; got {steps}")
    if classes is None:
        axis = None if class_axis is None else class_axis % len(sizes(target))
        signed = mask_distances(name, _masks(xp, target, ignore_index), axis, batched, steps, wide=False)
    else:
        labels = _labels(xp, target, ignore_index)
        axis = int(batched) if class_axis is None else class_axis % (len(sizes(target)) + 1)
        signed = label_distances(name, labels, tuple(range(classes)), axis, batched, steps, wide=False)
    if kind == "unsigned":
        return xp.abs(signed)
    return signed if kind == "signed" else xp.where(signed < 0, signed + min(steps or (1.0,)), signed)


def _masks(xp: Namespace, target: Array, ignore_index: int | None) -> Array:
    if target.dtype == xp.bool:
        return target
    masks = target > 0.5 if "float" in str(target.dtype) else target > 0
    counted = not_ignored(xp, target, ignore_index)
    return masks if counted is None else xp.logical_and(masks, counted)


def _labels(xp: Namespace, target: Array, ignore_index: int | None) -> Array:
    if "int" not in str(target.dtype):
        raise TypeError(
            f"distance_map: with `classes` the target holds labels, which must be integers; got dtype {target.dtype}. "
            "Masks of classes need `class_axis` in place of `classes`."
        )
    return index_or_zero(xp, not_ignored(xp, target, ignore_index), wide(xp, target))
