"""What a loss should do, claim by claim: the one body of claims that the project's own suite and the checker run.

A claim looks at one trial and says in a sentence what is wrong there, or None. It knows nothing of where the trial comes
from: the suite draws from the domains that the losses of the catalogue declare, the checker lets Hypothesis search.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from lossary.checker.engines import Batch, Dtype, Framework, run_torch, tensors, to_numpy
from lossary.checker.subject import Trial

Array = np.ndarray[Any, Any]
Severity = Literal["wrong value", "wrong gradient", "fragile", "slow", "style"]
SEVERITIES: tuple[Severity, ...] = ("wrong value", "wrong gradient", "fragile", "slow", "style")
Regime = Literal["ordinary", "edge", "extreme"]
Test = Callable[[Trial], "str | None"]

EVERYWHERE: tuple[Framework, ...] = ("torch", "jax", "tensorflow", "numpy")
WITH_GRADIENT: tuple[Framework, ...] = ("torch", "jax", "tensorflow")
TORCH: tuple[Framework, ...] = ("torch",)


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence that should be true of a loss, and what it costs if it is not."""

    name: str  # the sentence, as the report says it
    severity: Severity
    means: str  # what a failure does to a training run
    test: Test
    regimes: tuple[Regime, ...] = ("ordinary",)
    frameworks: tuple[Framework, ...] = WITH_GRADIENT
    examples: int = 20  # how many trials the checker gives it at most

    def __call__(self, trial: Trial) -> str | None:
        """What is wrong in this trial, or None. An exception of the loss is a fault, in the words of the exception."""
        try:
            return self.test(trial)
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:
            return f"it raises {type(error).__name__}: {_first_line(error)}"


CLAIMS: list[Claim] = []
"""Every claim, the gravest first within its module."""


def claim(name: str, severity: Severity, means: str, **rest: Any) -> Callable[[Test], Claim]:
    def enter(test: Test) -> Claim:
        CLAIMS.append(Claim(name, severity, means, test, **rest))
        return CLAIMS[-1]

    return enter


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    return lines[0][:160]


def near(a: Any, b: Any, tolerance: float) -> bool:
    """Equal to within a share of the larger one, or of 1 where both are small."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    scale = max(1.0, float(np.abs(b).max(initial=0)))
    return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True))


def precision(trial: Trial) -> Dtype:
    """The widest dtype that the framework computes in."""
    return "float32" if trial.subject.framework == "jax" else "float64"


def exactness(trial: Trial, outcome: Any) -> float:
    """How far two computations of one number may differ: a loss that casts to float32 inside has its digits."""
    wide = "float64" in str(getattr(outcome.value, "dtype", "")) and trial.subject.framework != "jax"
    return 1e-9 if wide else 2e-5


# --- values and gradients --------------------------------------------------------------------------------------------


@claim(
    "the value is finite",
    "wrong value",
    "one such batch makes every weight NaN, and the run is lost",
    regimes=("ordinary", "edge", "extreme"),
    frameworks=EVERYWHERE,
    examples=60,
)
def finite_value(trial: Trial) -> str | None:
    outcome = trial.subject.run(trial.batch, "float32")
    if not np.isfinite(outcome.number).all():
        return f"the value is {_shown(outcome.number)}"
    return None


@claim(
    "the gradient is finite",
    "wrong gradient",
    "the loss looks fine, and after the next step every weight is NaN",
    regimes=("ordinary", "edge", "extreme"),
    examples=60,
)
def finite_gradient(trial: Trial) -> str | None:
    outcome = trial.subject.run(trial.batch, "float32")
    assert outcome.gradient is not None
    if np.isfinite(outcome.number).all() and not np.isfinite(outcome.gradient).all():
        bad = int((~np.isfinite(outcome.gradient)).sum())
        return f"the value is {_shown(outcome.number)}, and {bad} of {outcome.gradient.size} gradients are not finite"
    return None


@claim(
    "the value depends on the prediction",
    "wrong gradient",
    "nothing is learned: backward raises, or every gradient is 0",
    examples=3,
)
def attached(trial: Trial) -> str | None:
    if not trial.subject.differentiable:
        return None
    outcome = trial.subject.run(trial.batch)
    if not outcome.attached:
        return "the result does not require a gradient: it is cut off from the prediction"
    return None


@claim(
    "the gradient is the slope of the value",
    "wrong gradient",
    "the optimiser follows another function than the one that is logged",
)
def gradient(trial: Trial) -> str | None:
    """Against differences to both sides: at a kink any slope between the two is right."""
    if not trial.subject.differentiable or trial.subject.holds_constants:
        return None
    outcome = trial.subject.run(trial.batch, precision(trial))
    assert outcome.gradient is not None
    wide = exactness(trial, outcome) < 1e-6
    low, high = slopes(trial, 1e-6 if wide else 1e-2)
    size = max(float(np.abs(low).max()), float(np.abs(high).max()), 1e-3)
    slack = (1e-4 if wide else 5e-2) * size
    off = np.maximum(low - outcome.gradient, outcome.gradient - high)
    if float(off.max()) > slack:
        place = tuple(int(i) for i in np.unravel_index(int(off.argmax()), off.shape))
        return f"at {list(place)} it is {outcome.gradient[place]:.4g}, and the value has the slope {low[place]:.4g}"
    return None


def slopes(trial: Trial, step: float) -> tuple[Array, Array]:
    """The smaller and the larger of the one-sided slopes by each number of the prediction."""
    dtype = precision(trial)
    here = trial.subject.value(trial.batch, dtype)
    low, high = (np.zeros_like(trial.batch.prediction) for _ in range(2))
    for index in np.ndindex(trial.batch.prediction.shape):
        sides: list[float] = []
        for distance in (step, -step):
            moved = trial.batch.prediction.copy()
            moved[index] += distance
            sides.append((trial.subject.value(trial.batch.with_prediction(moved), dtype) - here) / distance)
        low[index], high[index] = min(sides), max(sides)
    return low, high


@claim(
    "the gradient scales with what comes from above",
    "wrong gradient",
    "weights of a sum of losses, gradient accumulation and mixed precision's scaler have no effect",
    frameworks=TORCH,
    examples=3,
)
def upstream(trial: Trial) -> str | None:
    if not trial.subject.differentiable:
        return None
    once, thrice = (trial.subject.run(trial.batch, scale=s).gradient for s in (1.0, 3.0))
    assert once is not None
    assert thrice is not None
    if not near(thrice, 3 * once, 1e-5):
        return f"3 · loss has a gradient of size {_size(thrice)}, the loss alone one of {_size(once)}"
    return None


@claim(
    "the second derivative is right, or refused",
    "wrong gradient",
    "gradient penalties, Hessians and meta-learning follow a wrong direction in silence",
    frameworks=TORCH,
    examples=4,
)
def second_derivative(trial: Trial) -> str | None:
    """The derivative of a gradient's component along a fixed direction, against differences of the gradient."""
    import torch

    if not trial.subject.differentiable or trial.subject.holds_constants:
        return None
    prediction, target, keywords = tensors("torch", trial.batch, "float64")
    direction = torch.tensor(np.random.default_rng(0).normal(size=trial.batch.prediction.shape))

    def component(p: Any) -> Any:
        leaf = p.detach().requires_grad_()
        first = torch.autograd.grad(trial.subject.call(leaf, target, **keywords).sum(), leaf, create_graph=True)[0]
        return leaf, (first.double() * direction).sum()

    leaf, along = component(prediction)
    if not along.requires_grad:
        second = torch.zeros_like(leaf)
    else:
        try:
            found = torch.autograd.grad(along, leaf, allow_unused=True)[0]
        except (RuntimeError, NotImplementedError):
            return None  # refused aloud
        second = torch.zeros_like(leaf) if found is None else found
    expected, again = (_change(lambda s: component(prediction + s * direction)[1].item(), step) for step in (1e-5, 1e-6))
    if abs(expected - again) > 1e-2 * max(1.0, abs(expected)):
        return None  # a kink: the gradient jumps there
    given = (second.double() * direction).sum().item()
    tolerance = 1e-3 * max(1.0, abs(expected), abs(given))
    if abs(given - expected) > tolerance:
        return f"along one direction it is {given:.4g}, and the gradient changes there by {expected:.4g}"
    return None


def _change(f: Callable[[float], float], step: float) -> float:
    return (f(step) - f(-step)) / (2 * step)


# --- what a call must not do -----------------------------------------------------------------------------------------


@claim(
    "the result is one number, or one number a place",
    "wrong value",
    "backward raises, or broadcasts the result over other losses",
    frameworks=EVERYWHERE,
    examples=5,
)
def one_number(trial: Trial) -> str | None:
    shape = trial.subject.run(trial.batch).number.shape
    extent = trial.batch.prediction.shape
    whole = [n for n in shape if n != 1]
    if not whole or shape[0] == extent[0] or whole == list(extent[1:2]):
        return None
    return f"the result has shape {shape} for a prediction of shape {extent}"


@claim(
    "two equal calls give one number",
    "fragile",
    "runs cannot be repeated, and two losses cannot be compared",
    frameworks=EVERYWHERE,
    examples=3,
)
def deterministic(trial: Trial) -> str | None:
    first, second = (trial.subject.run(trial.batch).number for _ in range(2))
    if not np.array_equal(first, second, equal_nan=True):
        return f"the first call gives {_shown(first)}, the second {_shown(second)}"
    return None


@claim(
    "a call changes neither its arguments nor the loss",
    "fragile",
    "the second batch, or the second model, meets another loss than the first",
    frameworks=EVERYWHERE,
    examples=5,
)
def pure(trial: Trial) -> str | None:
    framework = trial.subject.framework
    prediction, target, keywords = tensors(framework, trial.batch, "float32")
    before = [to_numpy(x).copy() for x in (prediction, target)]
    owned = _attributes(trial.subject.owner)
    trial.subject.call(prediction, target, **keywords)
    for name, x, old in zip(("prediction", "target"), (prediction, target), before, strict=True):
        if not np.array_equal(to_numpy(x), old, equal_nan=True):
            return f"`{name}` is another after the call"
    now = _attributes(trial.subject.owner)
    changed = sorted(name for name in owned.keys() | now.keys() if not _same(owned.get(name), now.get(name)))
    if changed:
        return f"the call changes its attribute `{changed[0]}` from {owned.get(changed[0])!r} to {now.get(changed[0])!r}"
    return None


def _attributes(owner: Any) -> dict[str, Any]:
    """Attributes of a loss that are plain values or arrays, nested modules included by their own attributes."""
    if owner is None or not hasattr(owner, "__dict__"):
        return {}
    found: dict[str, Any] = {}
    for name, value in vars(owner).items():
        if name in ("_modules", "_buffers", "_parameters"):
            for inner, part in value.items():
                found |= {f"{inner}.{k}": v for k, v in _attributes(part).items()} if name == "_modules" else {
                    inner: copy.deepcopy(to_numpy(part)) if part is not None else None
                }
        elif value is None or isinstance(value, (bool, int, float, str, tuple)) or hasattr(value, "shape"):
            found[name] = copy.deepcopy(value)
    return found


def _same(a: Any, b: Any) -> bool:
    if hasattr(a, "shape") and hasattr(b, "shape"):
        return np.array_equal(to_numpy(a), to_numpy(b), equal_nan=True)
    return type(a) is type(b) and bool(a == b)


@claim(
    "no gradient is recorded inside torch.no_grad()",
    "fragile",
    "validation keeps the whole graph alive and runs out of memory",
    frameworks=TORCH,
    examples=2,
)
def respects_no_grad(trial: Trial) -> str | None:
    import torch

    prediction, target, keywords = tensors("torch", trial.batch, "float32")
    with torch.no_grad():
        value = trial.subject.call(prediction.requires_grad_(), target, **keywords)
    return "the result requires a gradient" if value.requires_grad else None


@claim(
    "nothing waits for the device",
    "slow",
    "on a GPU every step stops until the queue is empty; CUDA graphs and compiled programs break",
    frameworks=TORCH,
    examples=2,
)
def no_synchronisation(trial: Trial) -> str | None:
    """On tensors without values: whoever asks for one there would make a GPU wait."""
    import torch
    from torch._subclasses import FakeTensorMode
    from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

    prediction, target, keywords = tensors("torch", trial.batch, "float32")
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = [mode.from_tensor(x) for x in (prediction.requires_grad_(), target)]
        others = {name: mode.from_tensor(x) for name, x in keywords.items()}
        try:
            trial.subject.call(*fake, **others)
        except DataDependentOutputException as error:
            return f"it reads a value on the host ({error.func})"
        except DynamicOutputShapeException as error:
            return f"it makes a tensor whose size depends on values ({error.func})"
        except (RuntimeError, TypeError, NotImplementedError, torch.utils._pytree.LeafSpec):  # no fake version of an op
            return None
    return None


# --- batches ---------------------------------------------------------------------------------------------------------


@claim(
    "the order of the samples does not matter",
    "wrong value",
    "the loss depends on how the loader shuffles",
    frameworks=EVERYWHERE,
)
def order(trial: Trial) -> str | None:
    if len(trial.batch.prediction) < 2:
        return None
    outcome = trial.subject.run(trial.batch)
    backwards = trial.subject.run(trial.batch[::-1]).number
    if outcome.number.shape == () and not near(backwards, outcome.number, max(exactness(trial, outcome), 1e-9)):
        return f"the batch gives {_shown(outcome.number)}, the same batch backwards {_shown(backwards)}"
    return None


@claim(
    "the mean of two equal halves is the mean of the whole",
    "style",
    "gradient accumulation and data-parallel training optimise another function than one large batch does",
    frameworks=EVERYWHERE,
    examples=8,
)
def adds_up(trial: Trial) -> str | None:
    like = trial.subject.like
    if like is not None:  # it says itself what adds up
        return None
    outcome = trial.subject.run(trial.batch)
    if outcome.number.shape != ():
        return None
    twice = Batch(
        np.concatenate([trial.batch.prediction, -trial.batch.prediction]),
        np.concatenate([trial.batch.target, trial.batch.target]),
    )
    middle = len(trial.batch.prediction)
    parts = [trial.subject.value(twice[half]) for half in (slice(middle), slice(middle, None))]
    whole = trial.subject.value(twice)
    if near(whole, np.mean(parts), 1e-5) or near(whole, np.sum(parts), 1e-5):
        return None
    return f"halves of {parts[0]:.4g} and {parts[1]:.4g} make a whole of {whole:.4g}; pass the whole batch at once"


@claim(
    "an empty batch gives a finite number with a graph",
    "fragile",
    "a rank whose shard has no objects sends NaN to all the others, or makes them wait for ever",
    examples=1,
)
def empty_batch(trial: Trial) -> str | None:
    if trial.subject.run(trial.batch).number.shape != ():
        return None
    outcome = trial.subject.run(trial.batch[:0], "float32")
    if not np.isfinite(outcome.number).all():
        return f"it gives {_shown(outcome.number)}"
    if not outcome.attached and trial.subject.differentiable:
        return "the result has no graph: DistributedDataParallel waits for a gradient that never comes"
    return None


# --- half precision --------------------------------------------------------------------------------------------------


@claim(
    "half precision is as exact as its input",
    "fragile",
    "under autocast or FSDP the loss has two digits, and its gradient may have none",
    examples=8,
)
def half_precision(trial: Trial) -> str | None:
    """bfloat16 and float16 against float64 on the same, rounded numbers."""
    if trial.subject.framework == "tensorflow" and trial.subject.like is None:
        return None  # Keras casts by its own policy, before the loss
    kinds: tuple[Dtype, ...] = ("bfloat16", "float16")
    for dtype in kinds:
        given = tensors(trial.subject.framework, trial.batch, dtype)
        rounded = _read_back(trial.batch, given)
        exact = trial.subject.run(rounded, precision(trial))
        try:
            outcome = trial.subject.run(trial.batch, dtype)
        except Exception as error:
            return f"{dtype} raises {type(error).__name__}: {_first_line(error)}"
        if not near(outcome.number, exact.number, 2e-3):
            return f"{dtype} gives {_shown(outcome.number)}, and {_shown(exact.number)} is right"
        assert outcome.gradient is not None
        assert exact.gradient is not None
        size = float(np.abs(exact.gradient).max(initial=0))
        if not np.allclose(outcome.gradient, exact.gradient, rtol=2e-2, atol=1e-2 * size + 1e-6):
            place = np.unravel_index(int(np.abs(outcome.gradient - exact.gradient).argmax()), exact.gradient.shape)
            return (
                f"in {dtype} the gradient at {[int(i) for i in place]} is {outcome.gradient[place]:.3g}, and "
                f"{exact.gradient[place]:.3g} is right"
            )
    return None


def _read_back(batch: Batch, given: tuple[Any, Any, dict[str, Any]]) -> Batch:
    """The numbers that arrive when a batch is rounded to half precision."""

    def read(x: Array, rounded: Any) -> Array:
        return to_numpy(rounded).astype(float) if x.dtype.kind == "f" else x

    keywords = {name: read(x, given[2][name]) for name, x in batch.keywords.items()}
    return Batch(read(batch.prediction, given[0]), read(batch.target, given[1]), keywords)


# --- compilers and transforms ----------------------------------------------------------------------------------------


@claim(
    "torch.compile(fullgraph=True) gives the same",
    "style",
    "the compiled model is cut in pieces at the loss, or does not compile",
    frameworks=TORCH,
    examples=1,
)
def compiles(trial: Trial) -> str | None:
    expected = trial.subject.run(trial.batch, "float32")
    try:
        outcome = run_torch(trial.subject.call, trial.batch, "float32", compiled=True)
    except Exception as error:
        return f"it does not compile as one graph: {_first_line(error)}"
    if not near(outcome.number, expected.number, 1e-5):
        return f"compiled it gives {_shown(outcome.number)}, eager {_shown(expected.number)}"
    if expected.gradient is not None and not near(outcome.gradient, expected.gradient, 1e-4):
        return "compiled its gradient is another"
    return None


@claim(
    "torch.func.grad equals backward",
    "style",
    "per-sample gradients and functional training loops fail",
    frameworks=TORCH,
    examples=1,
)
def functional(trial: Trial) -> str | None:
    import torch

    if not trial.subject.differentiable:
        return None
    prediction, target, keywords = tensors("torch", trial.batch, "float64")
    expected = trial.subject.run(trial.batch).gradient
    found = torch.func.grad(lambda p: trial.subject.call(p, target, **keywords).sum())(prediction)
    return None if near(to_numpy(found), expected, 1e-6) else "its gradient is another"


@claim(
    "it keeps at most six times the prediction for backward",
    "slow",
    "the loss needs more memory than the model's last layers",
    frameworks=TORCH,
    examples=1,
)
def memory(trial: Trial) -> str | None:
    import gc

    import torch
    from torch.multiprocessing.reductions import StorageWeakRef

    if trial.convention is None or trial.scene is None or trial.convention.kind in ("boxes", "values"):
        return None
    many = 4096 // max(1, trial.batch.prediction[:1].size) + 1
    rows = Batch(*(np.repeat(x, many, axis=0) for x in (trial.batch.prediction, trial.batch.target)))
    prediction, target, _ = tensors("torch", rows, "float32")
    kept: dict[int, tuple[StorageWeakRef, int]] = {}

    def note(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        kept.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        value = trial.subject.call(prediction.requires_grad_(), target)
    gc.collect()
    # what only a part of the graph that is gone had saved costs nothing
    share = sum(size for reference, size in kept.values() if not reference.expired()) / (prediction.numel() * 4)
    del value
    return f"it keeps {share:.1f} times the bytes of the prediction" if share > 6 else None


def _shown(x: Array) -> str:
    x = np.asarray(x)
    return f"{float(x.ravel()[0]):.6g}" if x.size == 1 else f"{x.size} values, {np.array2string(x.ravel()[:3], precision=4)}"


def _size(x: Array) -> str:
    return f"{float(np.abs(x).max(initial=0)):.4g}"


__all__ = ["CLAIMS", "SEVERITIES", "Claim", "Severity", "claim", "exactness", "math", "near", "precision"]
