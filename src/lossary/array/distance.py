"""Exact distance transforms of masks, in every framework, eager and traced.

The transform itself is that of the `edt` package, on the host. Arrays of other devices are copied there and back once;
traced code calls it when it runs: through a custom operator in torch, `jax.pure_callback` and `tf.numpy_function`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (neither edt nor TensorFlow is typed)
from __future__ import annotations

import functools
import math
from typing import Any, cast

import numpy as np

from lossary.array.namespace import Array, convert, is_jax, is_tensorflow, is_torch, namespace, to_numpy
from lossary.array.primitives import sizes
from lossary.core.extras import needed

Numbers = np.ndarray[Any, Any]

MOST_AXES = 3
"""The transform is of lines, planes and volumes."""


def label_distances(
    name: str,
    labels: Array,
    classes: tuple[int, ...],
    class_axis: int,
    images: bool,
    spacing: tuple[float, ...] | None,
    wide: bool,
) -> Array:
    """The signed distance map of the region of each class, classes along a new axis `class_axis`.

    `images` says whether the first axis numbers images, `name` whom an error is about, `wide` asks for float64.
    """
    first = int(images)
    shape = sizes(labels)[first:]
    maps = _signed(labels, classes, len(shape), _steps(name, spacing, shape), wide)
    return _move_axis(maps, first, class_axis)


def mask_distances(
    name: str, masks: Array, class_axis: int | None, images: bool, spacing: tuple[float, ...] | None, wide: bool
) -> Array:
    """The signed distance map of each mask, in the shape of `masks`; `class_axis` numbers masks of one image.

    Labels will do too: then it is the distance to the nearest other label, negative where the label is 1.
    """
    first = int(images)
    if class_axis is not None:
        masks = _move_axis(masks, class_axis, first)
    shape = sizes(masks)[first + int(class_axis is not None) :]
    maps = _signed(masks, (), len(shape), _steps(name, spacing, shape), wide)
    return maps if class_axis is None else _move_axis(maps, first, class_axis)


def _steps(name: str, spacing: tuple[float, ...] | None, shape: tuple[int | None, ...]) -> tuple[float, ...]:
    """The distance of neighbours along each axis of an image. A leading axis of length 1, as of the one channel of a
    binary mask, needs none."""
    if sum(n != 1 for n in shape) > MOST_AXES:
        raise ValueError(f"{name}: distance maps are of images of one to {MOST_AXES} axes; got images of shape {shape}")
    if spacing is None:
        return (1.0,) * len(shape)
    extra = len(shape) - len(spacing)
    if extra < 0 or any(n != 1 for n in shape[:extra]):
        raise ValueError(f"{name}: `spacing` has {len(spacing)} numbers, but images have the shape {shape}")
    return (1.0,) * extra + spacing


def _move_axis(x: Array, source: int, destination: int) -> Array:
    if source == destination:
        return x
    order = [a for a in range(len(sizes(x))) if a != source]
    order.insert(destination, source)
    return namespace(x).permute_dims(x, tuple(order))


def _signed(regions: Array, classes: tuple[int, ...], axes: int, steps: tuple[float, ...], wide: bool) -> Array:
    """The distance of each place to the nearest one on the other side of the boundary, negative inside.

    The last `axes` axes of `regions` are those of an image, and `classes` the labels whose regions are mapped along a
    new axis before them; without classes, `regions` are masks.
    """
    if is_torch(regions):
        from lossary.array.torch_native import signed_distance

        return signed_distance(regions, list(classes), axes, list(steps), wide)
    transform = functools.partial(transform_regions, classes=classes, axes=axes, steps=steps, wide=wide)
    dtype = np.dtype(np.float64 if wide else np.float32)
    shape = _result_shape(sizes(regions), classes, axes)
    if is_jax(regions):
        import jax

        result = jax.ShapeDtypeStruct(cast("tuple[int, ...]", shape), dtype)
        return jax.pure_callback(transform, result, regions, vmap_method="broadcast_all")
    if is_tensorflow(regions):
        import tensorflow as tf

        return tf.ensure_shape(tf.numpy_function(transform, [regions], tf.as_dtype(dtype), stateful=False), shape)
    return convert(transform(to_numpy(regions)), regions)


def _result_shape(shape: tuple[int | None, ...], classes: tuple[int, ...], axes: int) -> tuple[int | None, ...]:
    if not classes:
        return shape
    first = len(shape) - axes
    return (*shape[:first], len(classes), *shape[first:])


def transform_regions(
    regions: Any, classes: tuple[int, ...], axes: int, steps: tuple[float, ...], wide: bool
) -> Numbers:
    """`_signed` of NumPy arrays."""
    regions = np.asarray(regions)
    first = regions.ndim - axes
    kept = [a for a in range(axes) if regions.shape[first + a] != 1]  # one place has no distances
    image = tuple(regions.shape[first + a] for a in kept)
    rows = regions.reshape(math.prod(regions.shape[:first]), *image)
    result = np.zeros((len(rows), len(classes) or 1, *image), np.float64 if wide else np.float32)
    for row, maps in zip(rows, result, strict=True):
        for into, region in zip(maps, [row == c for c in classes] if classes else [row], strict=True):
            _map(region, tuple(steps[a] for a in kept), into)
    return result.reshape(cast("tuple[int, ...]", _result_shape(regions.shape, classes, axes)))


def _map(labels: Numbers, steps: tuple[float, ...], into: Numbers) -> None:
    """The distances of one image, negative at label 1. Where all is one label, there is no boundary: zeros stay."""
    if labels.size == 0 or labels.min() == labels.max():
        return
    # the transform leaves out places of 0 and takes any other as a region: one pass for both sides of a mask
    sides = labels.view(np.uint8) + np.uint8(1) if labels.dtype == bool else labels.astype(np.int32) + 1
    anisotropy = steps[0] if len(steps) == 1 else steps
    np.sqrt(_edt().edtsq(sides, anisotropy=anisotropy, black_border=False), out=into, dtype=into.dtype)
    np.negative(into, out=into, where=labels == 1)


def _edt() -> Any:
    with needed("distance maps", "segmentation", "; or pass a loss the map of its target as `distance=`"):
        import edt  # pyright: ignore[reportMissingImports]
    return edt
