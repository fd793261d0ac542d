"""One way to run a loss on each framework, eager or compiled: values and gradients as NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_strict
import jax
import jax.numpy as jnp
import numpy as np
import tensorflow as tf
import torch

from inputs import Batch
from lossary.core.loss import Loss

torch.set_num_threads(1)  # two workers share two cores

DTYPES = {
    "torch": {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16},
    "jax": {"float32": jnp.float32, "float16": jnp.float16, "bfloat16": jnp.bfloat16},
    "tensorflow": {"float64": tf.float64, "float32": tf.float32, "float16": tf.float16, "bfloat16": tf.bfloat16},
}


def tensors(framework: str, batch: Batch, dtype: str) -> tuple[Any, Any, dict[str, Any]]:
    """Prediction, target and keywords; floating ones in the dtype, integers as they are."""

    def convert(x: np.ndarray) -> Any:
        floating = np.issubdtype(x.dtype, np.floating)
        if framework == "torch":
            return torch.tensor(x, dtype=DTYPES["torch"][dtype] if floating else None)
        if framework == "jax":
            return jnp.asarray(x, dtype=DTYPES["jax"][dtype] if floating else None if x.dtype == bool else jnp.int32)
        if framework == "tensorflow":
            return tf.cast(tf.constant(x), DTYPES["tensorflow"][dtype]) if floating else tf.constant(x)
        return array_api_strict.asarray(x.astype(dtype) if floating else x)

    return convert(batch.prediction), convert(batch.target), {k: convert(v) for k, v in batch.keywords.items()}


def to_numpy(x: Any) -> np.ndarray:
    if isinstance(x, torch.Tensor):
        x = x.detach()
        return (x.double() if x.is_floating_point() else x).numpy(force=True)
    if isinstance(x, tf.Tensor):
        x = x.numpy()  # NumPy itself cannot read a single bfloat16
    return np.asarray(x).astype(float) if "float16" in str(getattr(x, "dtype", "")) else np.asarray(x)


def total(value: Any) -> Any:
    """A number to differentiate: unreduced values are summed."""
    return value.sum() if hasattr(value, "sum") else value


Run = Callable[[Batch], tuple[Any, np.ndarray]]
"""Value and gradient of a batch."""


def torch_run(
    loss: Callable[..., Any], dtype: str = "float64", compiled: bool = False, backend: str = "aot_eager"
) -> Run:
    call = loss
    if compiled:
        torch._dynamo.reset()  # it allows eight programs for one line of Python
        call = torch.compile(loss, fullgraph=True, backend=backend)

    def run(batch: Batch) -> tuple[Any, np.ndarray]:
        prediction, target, keywords = tensors("torch", batch, dtype)
        prediction.requires_grad_()
        value = call(prediction, target, **keywords)
        assert value.requires_grad
        total(value).backward()
        assert prediction.grad.dtype == prediction.dtype
        return value, to_numpy(prediction.grad)

    return run


def jax_run(loss: Callable[..., Any], dtype: str = "float32", compiled: bool = False) -> Run:
    def both(p: Any, t: Any, keywords: dict[str, Any]) -> tuple[Any, Any]:
        value = loss(p, t, **keywords)
        return jnp.sum(value), value

    function = jax.value_and_grad(both, has_aux=True)
    function = jax.jit(function) if compiled else function

    def run(batch: Batch) -> tuple[Any, np.ndarray]:
        prediction, target, keywords = tensors("jax", batch, dtype)
        (_, value), gradient = function(prediction, target, keywords)
        assert gradient.dtype == prediction.dtype
        return value, to_numpy(gradient)

    return run


def tensorflow_run(loss: Callable[..., Any], dtype: str = "float64", compiled: bool = False) -> Run:
    def both(p: Any, t: Any, keywords: dict[str, Any]) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(p)
            value = loss(p, t, **keywords)
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

    def run(batch: Batch) -> tuple[Any, np.ndarray]:
        given = tensors("tensorflow", batch, dtype)
        if compiled and not traced:
            traced.append(tf.function(both, input_signature=signature(batch, given)))
        value, gradient = (traced[0] if compiled else both)(*given)
        assert gradient.dtype == given[0].dtype
        return value, to_numpy(gradient)

    return run


MAKE = {"torch": torch_run, "jax": jax_run, "tensorflow": tensorflow_run}
"""Makes the function that runs a loss on a framework; compiled, it compiles once for all batches of one shape."""


def run_torch(loss: Loss, batch: Batch, dtype: str = "float64", **how: Any) -> tuple[Any, np.ndarray]:
    return torch_run(loss, dtype, **how)(batch)


def run_jax(loss: Loss, batch: Batch, dtype: str = "float32", **how: Any) -> tuple[Any, np.ndarray]:
    return jax_run(loss, dtype, **how)(batch)


def run_tensorflow(loss: Loss, batch: Batch, dtype: str = "float64", **how: Any) -> tuple[Any, np.ndarray]:
    return tensorflow_run(loss, dtype, **how)(batch)


RUN = {"torch": run_torch, "jax": run_jax, "tensorflow": run_tensorflow}
