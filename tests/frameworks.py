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
    return np.asarray(x).astype(float) if "float16" in str(getattr(x, "dtype", "")) else np.asarray(x)


def total(value: Any) -> Any:
    """A number to differentiate: unreduced values are summed."""
    return value.sum() if hasattr(value, "sum") else value


def run_torch(
    loss: Loss, batch: Batch, dtype: str = "float64", compiled: bool = False, backend: str = "aot_eager"
) -> tuple[Any, np.ndarray]:
    prediction, target, keywords = tensors("torch", batch, dtype)
    prediction.requires_grad_()
    call: Callable[..., Any] = loss
    if compiled:
        torch._dynamo.reset()
        call = torch.compile(loss, fullgraph=True, backend=backend)
    value = call(prediction, target, **keywords)
    assert value.requires_grad
    total(value).backward()
    assert prediction.grad.dtype == prediction.dtype
    return value, to_numpy(prediction.grad)


def run_jax(loss: Loss, batch: Batch, dtype: str = "float32", compiled: bool = False) -> tuple[Any, np.ndarray]:
    prediction, target, keywords = tensors("jax", batch, dtype)

    def both(p: Any) -> tuple[Any, Any]:
        value = loss(p, target, **keywords)
        return jnp.sum(value), value

    function = jax.value_and_grad(both, has_aux=True)
    (_, value), gradient = (jax.jit(function) if compiled else function)(prediction)
    assert gradient.dtype == prediction.dtype
    return value, to_numpy(gradient)


def run_tensorflow(loss: Loss, batch: Batch, dtype: str = "float64", compiled: bool = False) -> tuple[Any, np.ndarray]:
    prediction, target, keywords = tensors("tensorflow", batch, dtype)

    def both(p: Any, t: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(p)
            value = loss(p, t, **keywords)
        gradient = tape.gradient(value, p)
        return value, tf.zeros_like(p) if gradient is None else gradient

    if compiled:
        # the number of samples is unknown while tracing, as in Keras
        signature = [tf.TensorSpec((None, *x.shape[1:]), x.dtype) for x in (prediction, target)]
        both = tf.function(both, input_signature=signature)
    value, gradient = both(prediction, target)
    assert gradient.dtype == prediction.dtype
    return value, to_numpy(gradient)


RUN = {"torch": run_torch, "jax": run_jax, "tensorflow": run_tensorflow}
