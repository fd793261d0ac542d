"""The names of the array API standard that Lossary uses, for TensorFlow.

`tf.experimental.numpy` lacks some and promotes others to float64, so these are thin wrappers over `tf` and `tf.math`
that keep the dtype of their array arguments. Formulas call functions of this module and use operators between arrays
of one dtype or with Python numbers; they never call methods.
"""

# pyright: basic, reportInvalidTypeForm=false
# TensorFlow ships no types; and `bool` and `sum` are names of the standard here, as in every array API namespace.
from __future__ import annotations

from typing import Any

import tensorflow as tf

bool = tf.bool
int8, int16, int32, int64 = tf.int8, tf.int16, tf.int32, tf.int64
uint8, uint16, uint32, uint64 = tf.uint8, tf.uint16, tf.uint32, tf.uint64
float16, bfloat16, float32, float64 = tf.float16, tf.bfloat16, tf.float32, tf.float64

abs = tf.abs
acos = tf.acos
asin = tf.asin
atan = tf.atan
atan2 = tf.atan2
cos = tf.cos
exp = tf.exp
expm1 = tf.math.expm1
floor = tf.floor
ceil = tf.math.ceil
log = tf.math.log
log1p = tf.math.log1p
sign = tf.sign
sin = tf.sin
sinh = tf.sinh
cosh = tf.cosh
tanh = tf.tanh
sqrt = tf.sqrt
square = tf.square
isnan = tf.math.is_nan
isfinite = tf.math.is_finite
isinf = tf.math.is_inf
logical_and = tf.logical_and
logical_or = tf.logical_or
logical_not = tf.logical_not
zeros_like = tf.zeros_like
ones_like = tf.ones_like
stack = tf.stack
concat = tf.concat
matmul = tf.linalg.matmul
expand_dims = tf.expand_dims
reshape = tf.reshape
squeeze = tf.squeeze


def _pair(x: Any, y: Any) -> tuple[Any, Any]:
    """Two operands of one dtype: a Python number takes the dtype of the array beside it."""
    # (`tf.cast` would make a float32 of the number on the way)
    if not tf.is_tensor(x):
        return tf.convert_to_tensor(x, y.dtype), y
    if not tf.is_tensor(y):
        return x, tf.convert_to_tensor(y, x.dtype)
    return x, y


def asarray(x: Any, dtype: Any = None) -> Any:
    return tf.convert_to_tensor(x, dtype=dtype)


def astype(x: Any, dtype: Any) -> Any:
    return tf.cast(x, dtype)


def where(condition: Any, x: Any, y: Any) -> Any:
    return tf.where(condition, *_pair(x, y))


def maximum(x: Any, y: Any) -> Any:
    """Numbers that tie share the gradient, as in torch and JAX, where TensorFlow gives all of it to the first."""
    x, y = _pair(x, y)
    return tf.where(x == y, 0.5 * x + 0.5 * y, tf.maximum(x, y))


def minimum(x: Any, y: Any) -> Any:
    """See `maximum`."""
    x, y = _pair(x, y)
    return tf.where(x == y, 0.5 * x + 0.5 * y, tf.minimum(x, y))


def pow(x: Any, y: Any) -> Any:
    return tf.pow(*_pair(x, y))


def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    if min is not None:
        x = tf.maximum(*_pair(x, min))
    return x if max is None else tf.minimum(*_pair(x, max))


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.reduce_sum(x, axis=axis, keepdims=keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.reduce_mean(x, axis=axis, keepdims=keepdims)


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.reduce_max(x, axis=axis, keepdims=keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.reduce_min(x, axis=axis, keepdims=keepdims)


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.reduce_all(x, axis=axis, keepdims=keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.reduce_any(x, axis=axis, keepdims=keepdims)


def arange(stop: int, dtype: Any = tf.int64) -> Any:
    return tf.range(stop, dtype=dtype)


def permute_dims(x: Any, axes: tuple[int, ...]) -> Any:
    return tf.transpose(x, axes)


def take(x: Any, indices: Any, axis: int = 0) -> Any:
    return tf.gather(x, indices, axis=axis)


def argmax(x: Any, axis: int) -> Any:
    return tf.argmax(x, axis)


def argsort(x: Any, axis: int = -1, descending: bool = False) -> Any:
    return tf.argsort(x, axis=axis, direction="DESCENDING" if descending else "ASCENDING", stable=True)


def sort(x: Any, axis: int = -1, descending: bool = False) -> Any:
    return tf.sort(x, axis=axis, direction="DESCENDING" if descending else "ASCENDING")


def cumulative_sum(x: Any, axis: int) -> Any:
    return tf.cumsum(x, axis=axis)


def take_along_axis(x: Any, indices: Any, axis: int) -> Any:
    """Along the last axis only, which is where formulas sort."""
    if axis not in (-1, x.shape.rank - 1):
        raise NotImplementedError(f"take_along_axis works along the last axis; got axis={axis}")
    return tf.gather(x, indices, axis=-1, batch_dims=x.shape.rank - 1)
