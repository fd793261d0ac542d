"""Claims about calls: what one must not do, what batches and half precision do to it, compilers and memory."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportAttributeAccessIssue=false, reportPrivateUsage=false
from __future__ import annotations

import copy
from typing import Any

import numpy as np

from lossary.checker.claims import (
    EVERYWHERE,
    TORCH,
    Array,
    NotAskedError,
    Violation,
    apart,
    claim,
    exactness,
    first_line,
    near,
    precision,
    shown,
)
from lossary.checker.engines import Batch, Dtype, Outcome, tensors, to_numpy, torch_run
from lossary.checker.subject import Trial

# --- what a call must not do -----------------------------------------------------------------------------------------


@claim(
    "the result is one number, or one number a place",
    "the result is neither one number nor one a place",
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
    'the reduction "sum" gives the sum of what "none" gives',
    'the reduction "sum" is not the sum of what "none" gives',
    "wrong value",
    "sums that are divided by hand, by a count over all ranks say, are off by a factor that depends on the shapes",
    frameworks=EVERYWHERE,
    examples=2,
    shows='loss.reduction = "none"\nprint(loss(prediction, target).sum())\n'
    'loss.reduction = "sum"\nprint(loss(prediction, target))',
)
def sums(trial: Trial) -> str | Violation | None:
    if trial.subject.ours:  # the suite adds up their statistics, which hold for any reduction
        raise NotAskedError
    parts, whole = (trial.subject.reduced(reduction) for reduction in ("none", "sum"))
    if parts is None or whole is None:
        raise NotAskedError
    try:
        unreduced, total = parts.run(trial.batch).number, whole.run(trial.batch)
    except (ValueError, TypeError, NotImplementedError):
        raise NotAskedError from None  # one of the two is not offered
    if unreduced.shape == () or total.number.shape != ():
        raise NotAskedError
    if not near(total.number, unreduced.sum(), max(exactness(trial, total), 1e-6)):
        given, expected = apart(float(total.number), float(unreduced.sum()))
        words = f'"sum" gives {given}, and the values of "none" add up to {expected}'
        return Violation(words, shows=_by_option() if trial.subject.owner is None else None)
    return None


def _by_option() -> str:
    """For a function whose reduction is an argument."""
    lines = [f'functools.partial(loss, reduction="{reduction}")(prediction, target)' for reduction in ("none", "sum")]
    return f"print({lines[0]}.sum())\nprint({lines[1]})"


@claim(
    "two equal calls give one number",
    "two equal calls give two numbers",
    "fragile",
    "runs cannot be repeated, and two losses cannot be compared",
    frameworks=EVERYWHERE,
    examples=3,
    shows="print(loss(prediction, target), loss(prediction, target))",
)
def deterministic(trial: Trial) -> str | None:
    first, second = (trial.subject.run(trial.batch).number for _ in range(2))
    if not np.array_equal(first, second, equal_nan=True):
        return f"the first call gives {shown(first)}, the second {shown(second)}"
    return None


@claim(
    "a call changes neither its arguments nor the loss",
    "a call changes its arguments or the loss",
    "fragile",
    "the second batch, or the second model, meets another loss than the first",
    frameworks=EVERYWHERE,
    examples=5,
    shows="print(vars(loss))\nloss(prediction, target)\nprint(vars(loss), prediction, target)",
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
        return (
            f"the call changes its attribute `{changed[0]}` from {owned.get(changed[0])!r} to {now.get(changed[0])!r}"
        )
    return None


def _attributes(owner: Any) -> dict[str, Any]:
    """Attributes of a loss that are plain values or arrays, nested modules included by their own attributes."""
    if owner is None or not hasattr(owner, "__dict__"):
        return {}
    found: dict[str, Any] = {}
    for name, value in vars(owner).items():
        if name in ("_modules", "_buffers", "_parameters"):
            for inner, part in value.items():
                found |= (
                    {f"{inner}.{k}": v for k, v in _attributes(part).items()}
                    if name == "_modules"
                    else {inner: copy.deepcopy(to_numpy(part)) if part is not None else None}
                )
        elif value is None or isinstance(value, (bool, int, float, str, tuple)) or hasattr(value, "shape"):
            found[name] = copy.deepcopy(value)
    return found


def _same(a: Any, b: Any) -> bool:
    if hasattr(a, "shape") and hasattr(b, "shape"):
        return np.array_equal(to_numpy(a), to_numpy(b), equal_nan=True)
    return type(a) is type(b) and bool(a == b)


@claim(
    "no gradient is recorded inside torch.no_grad()",
    "a gradient is recorded inside torch.no_grad()",
    "fragile",
    "validation keeps the whole graph alive and runs out of memory",
    frameworks=TORCH,
    examples=2,
    shows="with torch.no_grad():\n    print(loss(prediction.requires_grad_(), target).requires_grad)",
)
def respects_no_grad(trial: Trial) -> str | None:
    import torch

    prediction, target, keywords = tensors("torch", trial.batch, "float32")
    with torch.no_grad():
        value = trial.subject.call(prediction.requires_grad_(), target, **keywords)
    return "the result requires a gradient" if value.requires_grad else None


@claim(
    "nothing waits for the device",
    "it waits for the device",
    "slow",
    "on a GPU every step stops until the queue is empty; CUDA graphs and compiled programs break",
    frameworks=TORCH,
    examples=2,
    shows="from torch._subclasses import FakeTensorMode\n\n"
    "with FakeTensorMode(allow_non_fake_inputs=True) as mode:  # tensors without values\n"
    "    loss(mode.from_tensor(prediction), mode.from_tensor(target))",
)
def no_synchronisation(trial: Trial) -> str | None:
    """On tensors without values: whoever asks for one there would make a GPU wait."""
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
        except (RuntimeError, TypeError, NotImplementedError):  # an operation without a fake version
            raise NotAskedError from None
    return None


# --- batches ---------------------------------------------------------------------------------------------------------


@claim(
    "the order of the samples does not matter",
    "the order of the samples matters",
    "wrong value",
    "the loss depends on how the loader shuffles",
    frameworks=EVERYWHERE,
    shows="print(loss(prediction, target), loss(prediction.flip(0), target.flip(0)))",
)
def order(trial: Trial) -> str | None:
    if len(trial.batch.prediction) < 2:
        raise NotAskedError
    outcome = trial.subject.run(trial.batch)
    backwards = trial.subject.run(trial.batch[::-1]).number
    if outcome.number.shape == () and not near(backwards, outcome.number, max(exactness(trial, outcome), 1e-9)):
        forwards, turned = apart(float(outcome.number), float(backwards))
        return f"the batch gives {forwards}, the same batch backwards {turned}"
    return None


@claim(
    "the mean of two equal halves is the mean of the whole",
    "the mean of two equal halves is not the mean of the whole",
    "style",
    "gradient accumulation and data-parallel training optimise another function than one large batch does",
    frameworks=EVERYWHERE,
    examples=8,
    shows="print(loss(prediction, target), loss(-prediction, target))\n"
    "print(loss(torch.cat([prediction, -prediction]), torch.cat([target, target])))",
)
def adds_up(trial: Trial) -> str | None:
    if trial.subject.like is not None:  # it says itself what adds up
        return _statistics_add_up(trial) if trial.subject.ours else None
    outcome = trial.subject.run(trial.batch)
    if outcome.number.shape != ():
        raise NotAskedError
    twice = Batch(
        np.concatenate([trial.batch.prediction, -trial.batch.prediction]),
        np.concatenate([trial.batch.target, trial.batch.target]),
        {name: np.concatenate([x, x]) for name, x in trial.batch.keywords.items()},
    )
    middle = len(trial.batch.prediction)
    parts = [trial.subject.value(twice[half]) for half in (slice(middle), slice(middle, None))]
    whole = trial.subject.value(twice)
    tolerance = max(1e-5, exactness(trial, outcome))
    if near(whole, np.mean(parts), tolerance) or near(whole, np.sum(parts), tolerance):
        return None
    one, other, mean, together = apart(*parts, float(np.mean(parts)), whole)
    words = f"halves of {one} and {other}, {mean} on average, make a whole of {together}"
    return f"{words}; pass the whole batch at once"


def _statistics_add_up(trial: Trial) -> str | None:
    """Sums that a loss of the catalogue calls additive, however unequal the parts are."""
    loss = trial.subject.like
    assert loss is not None
    if not loss.decomposable or loss.reduction == "none":
        raise NotAskedError
    parts = (trial.batch[:1], trial.batch[1:])
    sums = [loss.statistics(part.prediction, part.target, **part.keywords) for part in parts]
    joined, whole = float(loss.finalize(sums[0] + sums[1])), trial.subject.value(trial.batch)
    return (
        None if near(joined, whole, 2e-5) else f"the sums of two parts make {joined:.6g}, and the whole is {whole:.6g}"
    )


@claim(
    "an empty batch gives a finite number with a graph",
    "an empty batch gives no finite number with a graph",
    "fragile",
    "a rank whose shard has no objects sends NaN to all the others, or makes them wait for ever",
    examples=1,
)
def empty_batch(trial: Trial) -> Violation | None:
    if trial.subject.run(trial.batch).number.shape != ():
        raise NotAskedError
    nothing = trial.batch[:0]
    try:
        outcome = trial.subject.run(nothing, "float32")
    except Exception as error:
        return Violation(f"it raises {type(error).__name__}: {first_line(error)}", nothing)
    if not np.isfinite(outcome.number).all():
        return Violation(f"it gives {shown(outcome.number)}", nothing)
    if not outcome.attached and trial.subject.differentiable:
        return Violation("the result has no graph: DistributedDataParallel waits for a gradient", nothing)
    return None


# --- half precision --------------------------------------------------------------------------------------------------


@claim(
    "half precision is as exact as its input",
    "half precision loses digits",
    "fragile",
    "under autocast or FSDP the loss has two digits, and its gradient may have none",
    examples=8,
)
def half_precision(trial: Trial) -> Violation | None:
    """bfloat16 and float16 against the wide dtypes on the same, rounded numbers."""
    if trial.subject.framework == "tensorflow" and trial.subject.like is None:
        raise NotAskedError  # Keras casts by its own policy, before the loss
    kinds: tuple[Dtype, ...] = ("bfloat16", "float16")
    for dtype in kinds:
        rounded = _rounded(trial, dtype)
        exact = trial.subject.run(rounded, precision(trial))
        if exact.gradient is None or not np.isfinite(exact.gradient).all():
            raise NotAskedError  # that is another claim's
        try:
            outcome = trial.subject.run(trial.batch, dtype)
        except Exception as error:
            return Violation(f"{dtype} raises {type(error).__name__}: {first_line(error)}", dtype=dtype)
        words = _difference(outcome, exact, dtype)
        # rounded numbers tie, and there each dtype may choose another of the two slopes
        if words is not None and _difference(outcome, trial.subject.run(rounded, "float32"), dtype) is not None:
            return Violation(words, dtype=dtype)
    return None


def _difference(outcome: Outcome, exact: Outcome, dtype: Dtype) -> str | None:
    if not near(outcome.number, exact.number, 2e-3):
        return f"{dtype} gives {shown(outcome.number)}, and {shown(exact.number)} is right"
    assert outcome.gradient is not None
    assert exact.gradient is not None
    size = float(np.abs(exact.gradient).max(initial=0))
    if np.allclose(outcome.gradient, exact.gradient, rtol=2e-2, atol=1e-2 * size + 1e-6):
        return None
    place = np.unravel_index(int(np.abs(outcome.gradient - exact.gradient).argmax()), exact.gradient.shape)
    return (
        f"in {dtype} the gradient at {[int(i) for i in place]} is {outcome.gradient[place]:.3g}, and "
        f"{exact.gradient[place]:.3g} is right"
    )


def _rounded(trial: Trial, dtype: Dtype) -> Batch:
    """The numbers that arrive when a batch is rounded to half precision."""
    batch, given = trial.batch, tensors(trial.subject.framework, trial.batch, dtype)

    def read(x: Array, rounded: Any) -> Array:
        return to_numpy(rounded).astype(float) if x.dtype.kind == "f" else x

    keywords = {name: read(x, given[2][name]) for name, x in batch.keywords.items()}
    return Batch(read(batch.prediction, given[0]), read(batch.target, given[1]), keywords, batch.shared)


# --- compilers and transforms ----------------------------------------------------------------------------------------


@claim(
    "torch.compile(fullgraph=True) gives the same",
    "torch.compile(fullgraph=True) fails, or gives something else",
    "style",
    "the compiled model is cut in pieces at the loss, or does not compile",
    frameworks=TORCH,
    examples=1,
    shows="print(torch.compile(loss, fullgraph=True)(prediction, target))",
)
def compiles(trial: Trial) -> str | None:
    expected = trial.subject.run(trial.batch, "float32")
    try:
        outcome = torch_run(trial.subject.call, "float32", compiled=True)(trial.batch)
    except Exception as error:
        return f"it does not compile as one graph: {first_line(error)}"
    if not near(outcome.number, expected.number, 1e-5):
        return f"compiled it gives {shown(outcome.number)}, eager {shown(expected.number)}"
    if expected.gradient is not None and not near(outcome.gradient, expected.gradient, 1e-4):
        return "compiled its gradient is another"
    return None


@claim(
    "torch.func.grad equals backward",
    "torch.func.grad fails, or differs from backward",
    "style",
    "per-sample gradients and functional training loops fail",
    frameworks=TORCH,
    examples=1,
    shows="print(torch.func.grad(lambda p: loss(p, target).sum())(prediction))",
    slope=True,
)
def functional(trial: Trial) -> str | None:
    import torch

    if not trial.subject.differentiable:
        raise NotAskedError
    prediction, target, keywords = tensors("torch", trial.batch, precision(trial))
    outcome = trial.subject.run(trial.batch)
    found = torch.func.grad(lambda p: trial.subject.call(p, target, **keywords).sum())(prediction)
    tolerance = max(1e-6, exactness(trial, outcome))
    return None if near(to_numpy(found), outcome.gradient, tolerance) else "its gradient is another"


@claim(
    "torch.vmap over samples gives what each sample gives",
    "torch.vmap over samples fails, or gives something else",
    "style",
    "per-sample losses and gradients need a loop",
    shows="print(torch.vmap(lambda p, t: loss(p[None], t[None]))(prediction, target))",
    frameworks=TORCH,
    examples=1,
)
def vmaps(trial: Trial) -> str | None:
    """Each sample as a batch of one."""
    import torch

    batch = trial.batch
    try:
        expected = np.array([trial.subject.value(batch[i : i + 1]) for i in range(len(batch.prediction))])
    except Exception:
        raise NotAskedError from None  # no sample can stand alone
    given = tensors("torch", batch, "float64")
    axes = (0, 0, {name: None if name in batch.shared else 0 for name in given[2]})

    def call(p: Any, t: Any, keywords: Any) -> Any:
        operands = {name: x if name in batch.shared else x[None] for name, x in keywords.items()}
        return trial.subject.call(p[None], t[None], **operands).sum()

    found = to_numpy(torch.vmap(call, axes)(*given))
    return None if near(found, expected, 1e-6) else f"it gives {shown(found)}, one by one they are {shown(expected)}"


@claim(
    "it keeps at most eight times the prediction for backward, beside it",
    "it keeps more than eight times the prediction for backward",
    "slow",
    "the loss needs more memory than the model's last layers",
    frameworks=TORCH,
    examples=1,
)
def memory(trial: Trial) -> str | None:
    import gc

    import torch
    from torch.multiprocessing.reductions import StorageWeakRef

    if trial.convention is None or trial.scene is None or not trial.convention.of_places:
        raise NotAskedError
    many = 4096 // max(1, trial.batch.prediction[:1].size) + 1
    given = trial.batch
    rows = Batch(np.repeat(given.prediction, many, axis=0), np.repeat(given.target, many, axis=0))
    prediction, target, _ = tensors("torch", rows, "float32")
    kept: dict[int, tuple[StorageWeakRef, int]] = {}

    def note(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        kept.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        value = trial.subject.call(prediction.requires_grad_(), target)
    gc.collect()
    # what only a part of the graph that is gone had saved costs nothing, nor does what the caller holds anyway
    given = {tensor.untyped_storage()._cdata for tensor in (prediction, target)}
    alive = [size for key, (reference, size) in kept.items() if key not in given and not reference.expired()]
    share = sum(alive) / (prediction.numel() * 4)
    del value
    return f"it keeps {share:.1f} times the bytes of the prediction" if share > trial.subject.may_keep else None
