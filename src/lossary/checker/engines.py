"""One way to run a loss on each framework, eager or compiled: values and gradients as NumPy arrays.

The checker and the project's own suite run losses through these, so that both see the same thing.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportAttributeAccessIssue=false, reportPrivateUsage=false
from __future__ import annotations

import dataclasses
import functools
import importlib.util
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

Framework = Literal["torch", "jax", "tensorflow", "numpy"]
Dtype = Literal["float64", "float32", "float16", "bfloat16"]
Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class Batch:
    """What a call takes, as float64, int64 and bool NumPy arrays."""

    prediction: Array
    target: Array
    keywords: dict[str, Array] = dataclasses.field(default_factory=dict[str, Array])
    shared: tuple[str, ...] = ()  # keywords that belong to no sample

    def __getitem__(self, samples: Any) -> Batch:
        """Some of the samples, operands included."""
        keywords = {k: v if k in self.shared else v[samples] for k, v in self.keywords.items()}
        return Batch(self.prediction[samples], self.target[samples], keywords, self.shared)

    def with_prediction(self, prediction: Array) -> Batch:
        return dataclasses.replace(self, prediction=prediction)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a call gave: the value and the gradient of its sum as they came (None where the framework has none)."""

    value: Any
    slope: Any
    attached: bool = True  # whether the value depends on the prediction as far as the framework knows

    @property
    def number(self) -> Array:
        return to_numpy(self.value)

    @functools.cached_property
    def gradient(self) -> Array | None:
        return None if self.slope is None else to_numpy(self.slope)


def to_numpy(x: Any) -> Array:
    """The values of any framework's array; half precision, which NumPy has not, as float64."""
    if hasattr(x, "detach"):
        x = x.detach()
        return (x.double() if x.is_floating_point() else x).numpy(force=True)
    if hasattr(x, "numpy"):
        x = x.numpy()  # NumPy itself cannot read a single bfloat16 of TensorFlow
    return np.asarray(x).astype(float) if "float16" in str(getattr(x, "dtype", "")) else np.asarray(x)


def tensors(framework: Framework, batch: Batch, dtype: Dtype) -> tuple[Any, Any, dict[str, Any]]:
    """Prediction, target and keywords; floating ones in the dtype, integers as they are."""
    convert = _CONVERT[framework]
    return (
        convert(batch.prediction, dtype),
        convert(batch.target, dtype),
        {name: convert(x, dtype) for name, x in batch.keywords.items()},
    )


def _to_torch(x: Array, dtype: Dtype) -> Any:
    import torch

    x = np.array(x, order="C")  # torch takes no array that runs backwards
    return torch.tensor(x, dtype=getattr(torch, dtype) if x.dtype.kind == "f" else None)


def _to_jax(x: Array, dtype: Dtype) -> Any:
    import jax.numpy as jnp

    if x.dtype.kind == "f":
        # float64 is float32 unless the user has switched it on
        return jnp.asarray(x, dtype=jnp.float32 if dtype == "float64" else getattr(jnp, dtype))
    return jnp.asarray(x, dtype=None if x.dtype == bool else jnp.int32)


def _to_tensorflow(x: Array, dtype: Dtype) -> Any:
    import tensorflow as tf

    return tf.cast(tf.constant(x), getattr(tf, dtype)) if x.dtype.kind == "f" else tf.constant(x)


def _to_numpy(x: Array, dtype: Dtype) -> Any:
    return x.astype("float32" if dtype == "bfloat16" else dtype) if x.dtype.kind == "f" else x


_CONVERT: dict[str, Callable[[np.ndarray[Any, Any], Dtype], Any]] = {
    "torch": _to_torch,
    "jax": _to_jax,
    "tensorflow": _to_tensorflow,
    "numpy": _to_numpy,
}


# --- value and gradient ----------------------------------------------------------------------------------------------

Run = Callable[[Batch], Outcome]
"""Value and gradient of a batch."""


def torch_run(
    call: Callable[..., Any],
    dtype: Dtype = "float64",
    compiled: bool = False,
    backend: str = "aot_eager",
    scale: float = 1.0,
) -> Run:
    """`scale` multiplies the gradient that comes from above, as a loss weight or a gradient scaler does."""
    import torch

    if compiled:
        torch._dynamo.reset()  # it allows eight programs for one line of Python
        call = torch.compile(call, fullgraph=True, backend=backend)

    def run(batch: Batch) -> Outcome:
        prediction, target, keywords = tensors("torch", batch, dtype)
        prediction.requires_grad_()
        value = call(prediction, target, **keywords)
        if not getattr(value, "requires_grad", False):  # a plain number, too, of a loss that calls `.item()`
            return Outcome(value, np.zeros(batch.prediction.shape), attached=False)
        (scale * value.sum()).backward()
        gradient = prediction.grad
        return Outcome(value, np.zeros(batch.prediction.shape) if gradient is None else gradient)

    return run


def narrowest(call: Callable[..., Any], batch: Batch, dtype: Dtype) -> Dtype:
    """The narrowest dtype among the tensors that a call keeps for backward: the digits of one that casts inside."""
    import torch

    seen: set[str] = {dtype}

    def note(tensor: Any) -> Any:
        seen.add(str(tensor.dtype).removeprefix("torch."))
        return tensor

    prediction, target, keywords = tensors("torch", batch, dtype)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        call(prediction.requires_grad_(), target, **keywords)
    order: tuple[Dtype, ...] = ("bfloat16", "float16", "float32", "float64")
    return next(name for name in order if name in seen)


def jax_run(call: Callable[..., Any], dtype: Dtype = "float32", compiled: bool = False) -> Run:
    import jax
    import jax.numpy as jnp

    def both(p: Any, target: Any, keywords: dict[str, Any]) -> tuple[Any, Any]:
        value = call(p, target, **keywords)
        return jnp.sum(value), value

    function = jax.value_and_grad(both, has_aux=True)
    function = jax.jit(function) if compiled else function

    def run(batch: Batch) -> Outcome:
        (_, value), gradient = function(*tensors("jax", batch, dtype))
        return Outcome(value, gradient)

    return run


def tensorflow_run(call: Callable[..., Any], dtype: Dtype = "float64", compiled: bool = False) -> Run:
    import tensorflow as tf

    def both(p: Any, target: Any, keywords: dict[str, Any]) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(p)
            value = call(p, target, **keywords)
        gradient = tape.gradient(value, p)
        return value, tf.zeros_like(p) if gradient is None else gradient

    def unknown(x: Any) -> Any:
        """The number of samples is unknown while tracing, as in Keras."""
        return tf.TensorSpec((None, *x.shape[1:]) if x.shape.rank else (), x.dtype)

    def signature(batch: Batch, given: tuple[Any, Any, dict[str, Any]]) -> Any:
        """What belongs to no sample, a classifier's weight say, has its size."""
        keywords = {
            k: tf.TensorSpec(x.shape, x.dtype) if k in batch.shared else unknown(x) for k, x in given[2].items()
        }
        return unknown(given[0]), unknown(given[1]), keywords

    traced: list[Any] = []

    def run(batch: Batch) -> Outcome:
        given = tensors("tensorflow", batch, dtype)
        if compiled and not traced:
            traced.append(tf.function(both, input_signature=signature(batch, given)))
        value, gradient = (traced[0] if compiled else both)(*given)
        return Outcome(value, gradient)

    return run


def numpy_run(call: Callable[..., Any], dtype: Dtype = "float64", compiled: bool = False) -> Run:
    def run(batch: Batch) -> Outcome:
        prediction, target, keywords = tensors("numpy", batch, dtype)
        return Outcome(call(prediction, target, **keywords), None)

    return run


RUN: dict[str, Callable[..., Run]] = {
    "torch": torch_run,
    "jax": jax_run,
    "tensorflow": tensorflow_run,
    "numpy": numpy_run,
}
"""Makes the function that runs a loss on a framework; compiled, it compiles once for all batches of one shape."""


def installed() -> list[Framework]:
    """The frameworks that can be imported here, torch first."""
    found: list[Framework] = []
    names: tuple[Framework, ...] = ("torch", "jax", "tensorflow", "numpy")
    for name in names:
        if importlib.util.find_spec(name) is not None:
            found.append(name)
    return found
