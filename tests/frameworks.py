"""The checker's engines as the tests call them: value and gradient of a loss that depends on its prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import torch

from lossary.checker import engines
from lossary.checker.engines import Batch, to_numpy

__all__ = ["MAKE", "RUN", "run_torch", "tensors", "to_numpy"]

torch.set_num_threads(1)  # two workers share two cores


def tensors(framework: str, batch: Batch, dtype: str) -> tuple[Any, Any, dict[str, Any]]:
    """Prediction, target and keywords on a framework, or as arrays of the strictest library of the standard."""
    if framework != "strict":
        return engines.tensors(framework, batch, dtype)

    def convert(x: np.ndarray) -> Any:
        return array_api_strict.asarray(x.astype(dtype) if x.dtype.kind == "f" else x)

    return convert(batch.prediction), convert(batch.target), {k: convert(v) for k, v in batch.keywords.items()}


def _name(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype)).removeprefix("torch.")


def _maker(framework: str) -> Callable[..., Any]:
    def make(loss: Callable[..., Any], dtype: str = "float32" if framework == "jax" else "float64", **how: Any) -> Any:
        run = engines.RUN[framework](loss, dtype, **how)

        def both(batch: Batch) -> tuple[Any, np.ndarray]:
            outcome = run(batch)
            assert outcome.attached
            assert _name(outcome.slope.dtype) == dtype
            return outcome.value, outcome.gradient

        return both

    return make


MAKE = {framework: _maker(framework) for framework in ("torch", "jax", "tensorflow")}
"""Makes the function that runs a loss on a framework; compiled, it compiles once for all batches of one shape."""


def _runner(framework: str) -> Callable[..., tuple[Any, np.ndarray]]:
    def run(loss: Callable[..., Any], batch: Batch, *dtype: str, **how: Any) -> tuple[Any, np.ndarray]:
        return MAKE[framework](loss, *dtype, **how)(batch)

    return run


RUN = {framework: _runner(framework) for framework in MAKE}
run_torch = RUN["torch"]
