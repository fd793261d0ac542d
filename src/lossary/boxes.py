"""Plain functions of boxes: conversion, area, overlap in five measures, and non-maximum suppression.

The measures read the same geometry as the losses, so `1 - lossary.boxes.giou(a, b)` is `lossary.GIoULoss` before its
reduction, on every array library and with gradients. Boxes are `(..., 4)` arrays in one of three formats: corners
`"xyxy"`, corner and size `"xywh"`, centre and size `"cxcywh"`.

>>> import numpy as np
>>> from lossary import boxes
>>> a, b = np.array([[0.0, 0, 2, 1]]), np.array([[0.0, 0, 1, 1], [4, 0, 6, 1], [0, 0, 2, 1]])
>>> boxes.iou(a, b, pairwise=True)
array([[0.5, 0. , 1. ]])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from lossary.array.namespace import Array, Namespace, eager, to_numpy
from lossary.array.namespace import convert as to_library
from lossary.array.namespace import kind as library
from lossary.array.primitives import sizes
from lossary.core import contract
from lossary.core.families.box_pair import BoxPair, Corners, Format, box_pair, corners, measures_read

Kind: TypeAlias = Literal["iou", "giou", "diou", "ciou"]

_BLOCK = 1 << 18
"""Pairs that are worked on at once: a few arrays of this size, some ten megabytes, is all the memory that it takes."""

_MEASURES: dict[str, Callable[[BoxPair], Array]] = {
    "iou": lambda pair: pair.iou,
    "giou": lambda pair: pair.iou - pair.hull_gap,
    "diou": lambda pair: pair.iou - pair.center_distance,
    "ciou": lambda pair: pair.iou - pair.center_distance - pair.aspect_penalty,
    "eiou": lambda pair: pair.iou - pair.center_distance - pair.side_distance,
}


def convert(boxes: Array, source: Format, to: Format) -> Array:
    """Boxes in another format. Sides that are negative become 0.

    >>> convert(np.array([1.0, 2, 4, 6]), "xyxy", "cxcywh")
    array([2.5, 4. , 3. , 4. ])
    """
    xp, box = _corners("convert", boxes, source)
    _known("convert", "to", to)
    if to == "xyxy":
        return xp.stack((box.x1, box.y1, box.x2, box.y2), axis=-1)
    if to == "xywh":
        return xp.stack((box.x1, box.y1, box.width, box.height), axis=-1)
    return xp.stack(((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2, box.width, box.height), axis=-1)


def area(boxes: Array, *, format: Format = "xyxy") -> Array:
    """Width times height, of shape (...).

    >>> area(np.array([[0.0, 0, 2, 3], [1, 1, 0, 0]]))
    array([6., 0.])
    """
    _, box = _corners("area", boxes, format)
    return box.width * box.height


def iou(a: Array, b: Array, *, format: Format = "xyxy", pairwise: bool = False) -> Array:
    """Intersection over union, in [0, 1]; 1 for equal boxes, points included.

    Args:
        a: boxes, (..., 4).
        b: boxes of the shape of `a`; with `pairwise` (N, 4) against (M, 4).
        format: `"xyxy"`, `"xywh"` or `"cxcywh"`, of both.
        pairwise: every box of `a` against every box of `b`, in blocks, so that only the result takes memory.

    Returns:
        Shape (...), or (N, M) with `pairwise`; float32 for half precision.

    `torchvision.ops.box_iou` is the pairwise form; it gives NaN for two points.

    >>> iou(np.array([0.0, 0, 2, 1]), np.array([0.0, 0, 1, 1])).item()
    0.5
    """
    return _measure("iou", a, b, format, pairwise)


def giou(a: Array, b: Array, *, format: Format = "xyxy", pairwise: bool = False) -> Array:
    """Generalised IoU (Rezatofighi et al. 2019): less the share of the enclosing box that neither covers; in (-1, 1].

    Arguments and shapes as for `iou`. `torchvision.ops.generalized_box_iou` is the pairwise form.

    >>> round(giou(np.array([0.0, 0, 1, 1]), np.array([2.0, 0, 3, 1])).item(), 4)
    -0.3333
    """
    return _measure("giou", a, b, format, pairwise)


def diou(a: Array, b: Array, *, format: Format = "xyxy", pairwise: bool = False) -> Array:
    """Distance IoU (Zheng et al. 2020): less the squared distance of the centres over the squared diagonal; in (-1, 1].

    Arguments and shapes as for `iou`. `torchvision.ops.distance_box_iou` is the pairwise form.

    >>> round(diou(np.array([0.0, 0, 1, 1]), np.array([2.0, 0, 3, 1])).item(), 4)
    -0.4
    """
    return _measure("diou", a, b, format, pairwise)


def ciou(a: Array, b: Array, *, format: Format = "xyxy", pairwise: bool = False) -> Array:
    """Complete IoU (Zheng et al. 2020): `diou` less α·v for the aspect ratio; α is constant in the gradient.

    Arguments and shapes as for `iou`. `torchvision.ops.complete_box_iou` is the pairwise form.

    >>> round(ciou(np.array([0.0, 0, 1, 0]), np.array([0.0, 0, 1, 1])).item(), 4)
    -0.175
    """
    return _measure("ciou", a, b, format, pairwise)


def eiou(a: Array, b: Array, *, format: Format = "xyxy", pairwise: bool = False) -> Array:
    """Efficient IoU (Zhang et al. 2021): `diou` less the squared differences of the sides over the enclosing box's.

    Arguments and shapes as for `iou`.

    >>> round(eiou(np.array([0.0, 0, 1, 1]), np.array([0.0, 0, 2, 1])).item(), 4)
    0.2
    """
    return _measure("eiou", a, b, format, pairwise)


def _measure(name: str, a: Array, b: Array, format: Format, pairwise: bool) -> Array:
    xp, first = _read(name, "a", a, format)
    if library(a) != library(b):
        raise TypeError(f"{name}: `a` is an array of {library(a)} and `b` of {library(b)}; convert one of them")
    _, second = _read(name, "b", b, format)
    shape, other = sizes(a)[:-1], sizes(b)[:-1]
    measure = _MEASURES[name]
    if not pairwise:
        if not contract.agree(shape, other):
            raise ValueError(
                f"{name}: `a` has shape {sizes(a)} and `b` {sizes(b)}; they must be equal. For every box of `a` "
                "against every box of `b` pass pairwise=True."
            )
        return measure(box_pair(xp, first, second, format, lambda: measures_read(lambda _, pair: measure(pair))))
    if len(shape) != 1 or len(other) != 1:
        raise ValueError(f"{name}: pairwise takes (N, 4) and (M, 4); got {sizes(a)} and {sizes(b)}")
    columns = xp.expand_dims(second, axis=0)

    def rows(part: slice) -> Array:
        return measure(BoxPair.of(xp, xp.expand_dims(first[part, :], axis=1), columns, format))

    n, m = shape[0], other[0]
    # compilers fuse the formula by themselves, and no array of all pairs but the result is ever made
    if not eager(a) or n is None or m is None or n * m <= _BLOCK:
        return rows(slice(None))
    step = max(1, _BLOCK // m)
    return xp.concat([rows(slice(start, start + step)) for start in range(0, n, step)], axis=0)


def _read(name: str, argument: str, boxes: Array, format: Format) -> tuple[Namespace, Array]:
    """Checked boxes in float32 or float64."""
    _known(name, "format", format)
    xp, boxes, _ = contract.arrays(name, boxes)
    shape = sizes(boxes)
    if not shape or shape[-1] != 4:
        raise ValueError(f"{name}: `{argument}` has shape {shape}; boxes need four numbers on the last axis")
    return xp, contract.cast(xp, boxes, contract.compute_dtype(name, xp, boxes, argument))


def _corners(name: str, boxes: Array, format: Format) -> tuple[Namespace, Corners]:
    xp, checked = _read(name, "boxes", boxes, format)
    return xp, corners(xp, checked, format)


def _known(name: str, argument: str, format: str) -> None:
    if format not in ("xyxy", "xywh", "cxcywh"):
        raise ValueError(f"{name}: `{argument}` must be one of 'xyxy', 'xywh', 'cxcywh'; got {format!r}")


# --- non-maximum suppression ------------------------------------------------------------------------------------------


def nms(
    boxes: Array,
    scores: Array,
    threshold: float,
    *,
    kind: Kind = "iou",
    classes: Array | None = None,
    limit: int | None = None,
    format: Format = "xyxy",
) -> Array:
    """The boxes that stay when each, from the best score down, removes those that overlap it too much.

    Args:
        boxes: (N, 4), of NumPy, torch or JAX.
        scores: (N,); equal ones keep their order.
        threshold: a box goes when its overlap with a kept one is above this, in [0, 1].
        kind: the measure of overlap. `"diou"` is DIoU-NMS (Zheng et al. 2020), which spares boxes whose centres are
            apart: neighbours in a crowd. All are at most the IoU, so they remove no box that `"iou"` would keep.
        classes: (N,) integers; boxes of different classes leave each other alone.
        limit: the greatest number of boxes to keep.
        format: `"xyxy"`, `"xywh"` or `"cxcywh"`.

    Returns:
        Indices of the kept boxes from the best score down, int64 (JAX: its default integer), in the library of `boxes`.

    It runs on the CPU in bounded memory: 100,000 boxes take some tens of megabytes. The result has no gradient.
    Equal to `torchvision.ops.nms` and `batched_nms` for `"iou"`, but that two equal points count as duplicates here.

    >>> found = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]])
    >>> nms(found, np.array([0.8, 0.9, 0.7]), 0.5)
    array([1, 2])
    """
    corner, score, group = _candidates("nms", boxes, scores, threshold, kind, classes, limit, format)
    order = np.argsort(-score, kind="stable")
    kept = np.zeros(len(order), dtype=bool)
    for label in np.unique(group):
        own = order[group[order] == label]
        kept[own[_suppress(corner[own], threshold, kind, limit)]] = True
    return to_library(order[kept[order]][:limit], boxes)


def soft_nms(
    boxes: Array,
    scores: Array,
    *,
    method: Literal["gaussian", "linear"] = "gaussian",
    sigma: float = 0.5,
    threshold: float = 0.3,
    floor: float = 1e-3,
    kind: Kind = "iou",
    classes: Array | None = None,
    limit: int | None = None,
    format: Format = "xyxy",
) -> tuple[Array, Array]:
    """Soft-NMS (Bodla et al. 2017): boxes that overlap a better one lose score instead of being removed.

    Args:
        boxes: (N, 4), of NumPy, torch or JAX.
        scores: (N,), not negative.
        method: each better box multiplies a score by exp(-u²/sigma) (`"gaussian"`), or by 1 - u where the overlap u is
            above `threshold` (`"linear"`).
        sigma: how far `"gaussian"` reaches.
        threshold: from where on `"linear"` acts, in [0, 1].
        floor: boxes whose score falls below this are removed.
        kind, classes, limit, format: as for `nms`; an overlap below 0 counts as 0.

    Returns:
        Indices of the kept boxes and their new scores, from the best down. Time grows with the square of N.

    >>> found = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10], [20, 0, 30, 10]])
    >>> index, score = soft_nms(found, np.array([0.8, 0.9, 0.7]))
    >>> index, score.round(3)
    (array([1, 2, 0]), array([0.9  , 0.7  , 0.108]))
    """
    if method not in ("gaussian", "linear"):
        raise ValueError(f"soft_nms: `method` must be 'gaussian' or 'linear'; got {method!r}")
    if not sigma > 0:
        raise ValueError(f"soft_nms: `sigma` must be above 0; got {sigma}")
    corner, score, group = _candidates("soft_nms", boxes, scores, threshold, kind, classes, limit, format)
    left = np.flatnonzero(score >= floor)
    chosen: list[int] = []
    while left.size and (limit is None or len(chosen) < limit):
        best = left[np.argmax(score[left])]
        chosen.append(int(best))
        left = left[left != best]
        overlap = _overlap(kind, corner[best], corner[left]) * (group[left] == group[best])
        overlap = np.maximum(overlap, 0)
        decay = np.exp(-(overlap**2) / sigma) if method == "gaussian" else np.where(overlap > threshold, 1 - overlap, 1)
        score[left] *= decay
        left = left[score[left] >= floor]
    index = np.array(chosen, dtype=np.int64)
    return to_library(index, boxes), to_library(score[index], boxes)


_Numbers: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def _candidates(
    name: str,
    boxes: Array,
    scores: Array,
    threshold: float,
    kind: str,
    classes: Array | None,
    limit: int | None,
    format: Format,
) -> tuple[_Numbers, _Numbers, _Numbers]:
    """Checked corners (N, 4), scores and classes as NumPy arrays; the scores are a copy."""
    if kind not in ("iou", "giou", "diou", "ciou"):
        raise ValueError(f"{name}: `kind` must be one of 'iou', 'giou', 'diou', 'ciou'; got {kind!r}")
    if not 0 <= threshold <= 1:
        raise ValueError(f"{name}: `threshold` must lie in [0, 1]; got {threshold}")
    if limit is not None and limit < 0:
        raise ValueError(f"{name}: `limit` must be at least 0, or None; got {limit}")
    if not eager(boxes):
        raise TypeError(f"{name}: which boxes stay depends on their values; call it outside of compiled code")
    _, box = _corners(name, boxes, format)
    if len(sizes(boxes)) != 2:
        raise ValueError(f"{name}: `boxes` must have shape (N, 4); got {sizes(boxes)}")
    corner: _Numbers = np.stack([to_numpy(c) for c in box], axis=-1)
    score: _Numbers = np.array(to_numpy(scores))
    columns = {"scores": scores} | ({} if classes is None else {"classes": classes})
    for argument, column in columns.items():
        if sizes(column) != (len(corner),):
            raise ValueError(f"{name}: `{argument}` must have shape ({len(corner)},), one a box; got {sizes(column)}")
    for argument, values in (("boxes", corner), ("scores", score)):
        if not np.isfinite(values).all():
            value, position = contract.first_bad(values, ~np.isfinite(values))
            raise ValueError(f"{name}: `{argument}` must be finite; got {value} at {position}")
    group = np.zeros(len(corner), dtype=np.int64) if classes is None else to_numpy(classes)
    return corner, score if np.issubdtype(score.dtype, np.floating) else score.astype(np.float64), group


def _overlap(kind: str, a: _Numbers, b: _Numbers) -> _Numbers:
    """The measure between boxes whose arrays broadcast."""
    import array_api_compat.numpy as xp

    return _MEASURES[kind](BoxPair.of(xp, a, b, "xyxy"))


def _suppress(boxes: _Numbers, threshold: float, kind: str, limit: int | None) -> _Numbers:
    """Positions that stay among boxes sorted from the best score down.

    Boxes are decided a block at a time: within the block one after the other, then all its survivors at once against
    what is left. Those are kept in the order of x1, so that a survivor meets only the boxes that its columns can reach.
    """
    limit = len(boxes) if limit is None else limit
    alive = np.ones(len(boxes), dtype=bool)
    by_x = np.argsort(boxes[:, 0], kind="stable")
    widest = float((boxes[:, 2].astype(np.float64) - boxes[:, 0]).max(initial=0))
    kept: list[_Numbers] = []
    count = 0
    while count < limit and (block := np.flatnonzero(alive)[:512]).size:
        alive[block] = False
        hit = _above(boxes[block, None], boxes[None, block], threshold, kind)
        stays = np.ones(len(block), dtype=bool)
        for i in range(len(block)):
            if stays[i]:
                stays[i + 1 :] &= ~hit[i, i + 1 :]
        block = block[stays]
        kept.append(block)
        count += len(block)
        by_x = by_x[alive[by_x]]
        start = boxes[by_x, 0]
        survivors = boxes[block[np.argsort(boxes[block, 0])]]
        for low in range(0, len(survivors), 16):
            few = survivors[low : low + 16]
            first = int(start.searchsorted(float(few[0, 0]) - widest))
            last = int(start.searchsorted(few[:, 2].max(), side="right"))
            for begin in range(first, last, _BLOCK // 16):
                reached = by_x[begin : min(begin + _BLOCK // 16, last)]
                alive[reached] &= ~_above(few[:, None], boxes[None, reached], threshold, kind).any(0)
    return np.concatenate(kept)[:limit] if kept else np.zeros(0, dtype=np.int64)


def _above(a: _Numbers, b: _Numbers, threshold: float, kind: str) -> _Numbers:
    """Where the overlap of broadcast boxes is above the threshold.

    IoU is taken from the coordinates as they are, in the order of operations of torchvision, so that pairs right at the
    threshold fall on the same side. It bounds every other measure, which is computed only for the pairs that pass.
    """
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    inter = np.maximum(width, 0) * np.maximum(height, 0)
    union = _area(a) + _area(b) - inter
    bound = np.float64(threshold)  # not a Python float, which NumPy would round to float32 before comparing
    hit = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0) > bound
    # boxes without area have IoU 1 with their equals
    hit |= (union <= 0) & (a == b).all(-1) & (threshold < 1)
    if kind != "iou":
        i, j = np.nonzero(hit)
        shape = (*hit.shape, 4)
        hit[i, j] = _overlap(kind, np.broadcast_to(a, shape)[i, j], np.broadcast_to(b, shape)[i, j]) > bound
    return hit


def _area(box: _Numbers) -> _Numbers:
    return (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])


__all__ = ["area", "ciou", "convert", "diou", "eiou", "giou", "iou", "nms", "soft_nms"]
