"""Which array library a call speaks.

Formulas are written once in the Python array API standard. `namespace(prediction, target)` gives the module that
holds its functions. The tests below look frameworks up in `sys.modules`, so that asking never imports one, and they
are plain expressions, because `torch.compile(fullgraph=True)` can follow those and not a cached dispatcher.
"""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""A torch.Tensor, jax.Array, tf.Tensor, numpy.ndarray or any other array of the standard."""

Namespace: TypeAlias = Any
"""A module of array API functions."""


def is_torch(x: object) -> bool:
    return "torch" in sys.modules and isinstance(x, sys.modules["torch"].Tensor)


def is_sharded(x: object) -> bool:
    """Whether x is a DTensor of torch, whose parts lie in several processes."""
    return "torch.distributed.tensor" in sys.modules and isinstance(x, sys.modules["torch.distributed.tensor"].DTensor)


def in_loss_parallel() -> bool:
    """Whether torch's `loss_parallel()` is at work: there a log-softmax of sharded logits is one that only torch's own
    cross entropy can read."""
    import torch

    dispatcher = getattr(sys.modules["torch.distributed.tensor"].DTensor, "_op_dispatcher", None)
    return torch.ops.aten._log_softmax.default in getattr(dispatcher, "_custom_op_handlers", ())


def is_jax(x: object) -> bool:
    return "jax" in sys.modules and isinstance(x, sys.modules["jax"].Array)


def is_tensorflow(x: object) -> bool:
    return "tensorflow" in sys.modules and isinstance(
        x, (sys.modules["tensorflow"].Tensor, sys.modules["tensorflow"].Variable)
    )


def is_numpy(x: object) -> bool:
    return isinstance(x, (np.ndarray, np.generic))


def is_array(x: object) -> bool:
    return is_torch(x) or is_jax(x) or is_tensorflow(x) or is_numpy(x) or hasattr(x, "__array_namespace__")


def namespace(x: Array) -> Namespace:
    """The array API functions for `x`.

    >>> namespace(np.zeros(3)).__name__
    'array_api_compat.numpy'
    """
    if is_torch(x):
        import array_api_compat.torch as xp

        return xp
    if is_jax(x):
        import jax.numpy as xp

        return xp
    if is_tensorflow(x):
        import lossary.array.tensorflow as xp

        return xp
    if is_numpy(x):
        import array_api_compat.numpy as xp

        return xp
    return x.__array_namespace__()


def kind(x: object) -> str:
    """The name of the library of `x`, as error messages spell it.

    >>> kind(np.zeros(3)), kind([1, 2])
    ('numpy', 'list')
    """
    for name, test in (("torch", is_torch), ("jax", is_jax), ("tensorflow", is_tensorflow), ("numpy", is_numpy)):
        if test(x):
            return name
    if hasattr(x, "__array_namespace__"):
        return namespace(x).__name__
    return type(x).__name__


def compiling(x: Array) -> bool:
    """Whether torch traces: then the portable definition is taken, which the compiler fuses."""
    import torch

    return torch.compiler.is_compiling()


def eager(x: Array) -> bool:
    """Whether the values of `x` can be looked at: not while compiling, tracing, vmapping or on a meta device."""
    if is_torch(x):
        import torch

        if torch.compiler.is_compiling():
            return False
        # exact types: a FakeTensor is a Tensor without values; and inside torch.func transforms even the tensors that
        # are not transformed refuse to show theirs
        return (
            type(x) in (torch.Tensor, torch.nn.Parameter)
            and x.device.type != "meta"
            and torch._C._functorch.peek_interpreter_stack() is None  # pyright: ignore
        )
    if is_jax(x):
        return not isinstance(x, sys.modules["jax"].core.Tracer)
    if is_tensorflow(x):
        return sys.modules["tensorflow"].executing_eagerly() and hasattr(x, "numpy")
    return True


def on_cpu(x: Array) -> bool:
    """Whether reading the values of the eager array `x` costs no wait for another device."""
    if is_torch(x):
        return x.device.type == "cpu"
    if is_jax(x):
        return all(device.platform == "cpu" for device in x.devices())
    if is_tensorflow(x):
        return "CPU" in x.device
    return True


def to_numpy(x: Array) -> np.ndarray[Any, Any]:
    """The values of an eager array, for checks and messages."""
    if is_torch(x):
        x = x.detach().cpu()
        return (x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy()
    return np.asarray(x)


def convert(x: Array, like: Array) -> Array:
    """`x` as an array of the library (and device) of `like`."""
    if is_torch(like):
        import torch

        return torch.as_tensor(x, device=like.device)
    if is_tensorflow(like):
        return sys.modules["tensorflow"].convert_to_tensor(x)
    return namespace(like).asarray(x)
