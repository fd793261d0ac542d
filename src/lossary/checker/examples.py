"""The code of a finding: it makes the arrays of a trial and calls the loss. It is pasted as it stands, so it fits on a
screen: arrays of many numbers are made by code, not written out."""

from __future__ import annotations

import base64
import math
import textwrap
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from lossary.checker.engines import Dtype, Framework
from lossary.checker.scenes import draw
from lossary.checker.subject import Trial

Array = np.ndarray[Any, Any]

MOST = 64
"""Numbers of an array that are written out."""

FEW = 12
"""Numbers of an array that a line can hold."""

SEEDS = (0, 1000)
"""Of the ordinary scenes that claims are tried on."""


def short(trial: Trial) -> str:
    """The arrays of a trial in a line."""
    arrays = {"prediction": trial.batch.prediction, "target": trial.batch.target, **trial.batch.keywords}
    return ", ".join(f"{name} {_in_short(x)}" for name, x in arrays.items())


def _in_short(x: Array) -> str:
    if x.size and (x == x.flat[0]).all() and x.size > 1:
        return f"{x.shape} of {x.flat[0]:.4g}"
    return _listed(x.tolist()) if 0 < x.size <= FEW else str(x.shape)


def _listed(x: Any) -> str:
    return "[" + ", ".join(map(_listed, x)) + "]" if isinstance(x, list) else f"{x:.4g}"  # pyright: ignore


def code(trial: Trial, statement: str, shows: str = "", dtype: Dtype | None = None) -> str:
    """A program that shows a trial; `statement` makes the loss, named `loss`, and `shows` calls it, with torch."""
    framework, batch = trial.subject.framework, trial.batch
    lines = [statement]
    for name, x in (("prediction", batch.prediction), ("target", batch.target), *batch.keywords.items()):
        lines += _assigned(framework, name, x, dtype)
    call = _call(trial)
    if call:
        lines += ["given = loss", f"loss = lambda prediction, target: {call}"]
        shows = shows.replace("vars(loss)", "vars(given)").replace("loss.reduction", "given.reduction")
    if framework != "torch":
        lines.append("print(loss(prediction, target))")
    elif shows:
        lines.append(shows)
    else:
        lines += [
            "prediction.requires_grad_()",
            "value = loss(prediction, target)",
            "value.sum().backward()",
            "print(value, prediction.grad)",
        ]
    text = "\n".join(lines)
    needed = [line for word, line in _IMPORTS.items() if word in text]
    return "\n".join([*needed, text])


_IMPORTS = {
    "base64.": "import base64",
    "functools.partial(loss": "import functools",
    "zlib.": "import zlib",
    "jnp.": "import jax.numpy as jnp",
    "np.": "import numpy as np",
    "tf.": "import tensorflow as tf",
    "torch.": "import torch",
}


def _call(trial: Trial) -> str:
    """The call of a loss that takes its arguments in another order, or more than two; empty for one that does not."""
    names = list(trial.batch.keywords)
    if trial.subject.target_first:
        return "given(target, prediction)"
    if not names:
        return ""
    operands = names if trial.subject.positional else [f"{name}={name}" for name in names]
    return f"given(prediction, target, {', '.join(operands)})"


def _assigned(framework: Framework, name: str, x: Array, dtype: Dtype | None) -> list[str]:
    """Lines that make an array."""
    make = {"torch": "torch.tensor", "jax": "jnp.asarray", "tensorflow": "tf.constant", "numpy": "np.array"}[framework]
    full = {"torch": "torch.full", "jax": "jnp.full", "tensorflow": "tf.fill", "numpy": "np.full"}[framework]
    kind = f", dtype=torch.{dtype}" if dtype is not None and x.dtype.kind == "f" and framework == "torch" else ""
    if not x.size or (x.size > 4 and (x == x.flat[0]).all()):
        return [f"{name} = {full}({x.shape}, {_number(x.flat[0] if x.size else x.dtype.type(0))}{kind})"]
    if x.size <= MOST:
        return _folded(f"{name} = {make}({_nested(x.tolist())}{kind})")
    module = {"torch": "torch", "jax": "jnp", "tensorflow": "tf", "numpy": "np"}[framework]
    if x.dtype.kind == "f":
        kind = f", dtype={module}.{dtype or 'float32'}"
    return [*_made(x), f"{name} = {make}(values{kind})"]


def _folded(line: str) -> list[str]:
    """A long line, broken between the numbers inside its brackets."""
    return textwrap.wrap(line, 100, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _made(x: Array) -> list[str]:
    """Lines that make an array of many numbers, named `values`."""
    for recipe, made in _recipes(x):
        other = ~((made == x) | (np.isnan(made) & np.isnan(x)))
        if not other.any():
            return [recipe]
        left = x[other]
        alike = bool((left == left[0]).all() or np.isnan(left).all())
        where = np.argwhere(other)
        low, high = where.min(0), where.max(0) + 1
        if alike and len(where) == np.prod(high - low):
            box = ", ".join(f"{a}:{b}" for a, b in zip(low, high, strict=True))
            return [recipe, f"values[{box}] = {_number(left[0])}"]
        if len(left) <= MOST // 2:
            new = _number(left[0]) if alike else _nested(left.tolist())
            return [recipe, *_folded(f"values.flat[{_nested(np.flatnonzero(other).tolist())}] = {new}")]
    return _packed(x)


def _recipes(x: Array) -> Iterator[tuple[str, Array]]:
    """Arrays of the same shape that are made in a line, the plainest first."""
    values, counts = np.unique(x, return_counts=True)
    common = values[counts.argmax()]
    yield f"values = np.full({x.shape}, {_number(common)})", np.full(x.shape, common)
    small = x
    for axis in range(x.ndim):
        first = small.take([0], axis)
        small = first if (small == first).all() else small
    if small.size <= MOST:
        line = f"np.array({_nested(small.tolist())})"
        yield f"values = np.broadcast_to({line}, {x.shape}).copy()", np.broadcast_to(small, x.shape)
    for seed in SEEDS:
        line = f"2 * np.random.default_rng({seed}).normal(size=%s).round(2)"
        yield f"values = {line % (x.shape,)}", 2 * draw(np.random.default_rng(seed), *x.shape)
        if x.ndim > 2:
            size = (x.shape[0], x.shape[-1], *x.shape[1:-1])
            drawn = np.moveaxis(2 * draw(np.random.default_rng(seed), *size), 1, -1)
            yield f"values = np.moveaxis({line % (size,)}, 1, -1)", drawn


def _packed(x: Array) -> list[str]:
    """An array without a pattern, as text."""
    kept = x.astype("<f4" if x.dtype.kind == "f" else "<i8")
    text = base64.b85encode(zlib.compress(kept.tobytes(), 9)).decode()
    parts = [f"    {text[i : i + 100]!r}" for i in range(0, len(text), 100)]
    read = f"values = np.frombuffer(zlib.decompress(base64.b85decode(text)), {kept.dtype.str!r}).reshape({x.shape})"
    return ["text = (", *parts, ")", read]


def _nested(x: Any) -> str:
    return "[" + ", ".join(map(_nested, x)) + "]" if isinstance(x, list) else _number(x)  # pyright: ignore


def _number(x: Any) -> str:
    x = x.item() if hasattr(x, "item") else x
    if isinstance(x, float) and not math.isfinite(x):
        return f"float('{x}')"
    return repr(float(f"{x:.8g}")) if isinstance(x, float) else repr(x)
