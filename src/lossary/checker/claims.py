"""What a loss should do, claim by claim: the one body of claims that the project's own suite and the checker run.

A claim looks at one trial and says in a sentence what is wrong there, or None. It knows nothing of where the trial
comes from: the suite draws from the domains that the losses of the catalogue declare, the checker lets Hypothesis
search. Claims about values and gradients are here, those about calls in `calls`, about what a loss means in `meanings`,
about ignored places, images and boxes in `fields`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportAttributeAccessIssue=false, reportPrivateUsage=false
from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from lossary.checker.engines import Batch, Dtype, Framework, tensors
from lossary.checker.subject import Trial

Array = np.ndarray[Any, Any]
Severity = Literal["wrong value", "wrong gradient", "fragile", "slow", "style"]
SEVERITIES: tuple[Severity, ...] = ("wrong value", "wrong gradient", "fragile", "slow", "style")
Regime = Literal["ordinary", "edge", "extreme"]
REGIMES: tuple[Regime, ...] = ("ordinary", "edge", "extreme")


class NotAskedError(Exception):
    """Raised by a claim that has nothing to say of a trial: it is about boxes, say, or the scene behind the arrays."""


@dataclasses.dataclass(frozen=True)
class Violation:
    """What is wrong, in a sentence; and the call that shows it, where that is not the one of the trial in float32."""

    words: str
    batch: Batch | None = None
    dtype: Dtype | None = None
    shows: str | None = None  # in place of the lines of the claim


Test = Callable[[Trial], "str | Violation | None"]

EVERYWHERE: tuple[Framework, ...] = ("torch", "jax", "tensorflow", "numpy")
WITH_GRADIENT: tuple[Framework, ...] = ("torch", "jax", "tensorflow")
TORCH: tuple[Framework, ...] = ("torch",)


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence that should be true of a loss, and what it costs if it is not."""

    name: str  # the sentence, as the report says it
    fails: str  # what is true where it fails: the heading of a finding
    severity: Severity
    means: str  # what a failure does to a training run
    test: Test
    regimes: tuple[Regime, ...] = ("ordinary",)
    frameworks: tuple[Framework, ...] = WITH_GRADIENT
    examples: int = 20  # how many trials the checker gives it at most
    shows: str = ""  # lines of Python, for torch, that show a failure; without, those of a value and its gradient
    slope: bool = False  # whether it looks at gradients, and has nothing to say of a loss without them

    @property
    def key(self) -> str:
        """Its name in a word."""
        return self.test.__name__

    def __call__(self, trial: Trial) -> Violation | None:
        """What is wrong in this trial, or None. An exception of the loss is a fault, in the words of the exception.

        Raises:
            NotAskedError: the claim is not about such a trial.
        """
        trial = dataclasses.replace(trial, subject=trial.subject.fresh())
        try:
            found = self.test(trial)
        except (MemoryError, NotAskedError):
            raise
        except Exception as error:
            found = f"it raises {type(error).__name__}: {first_line(error)}"
        return Violation(found) if isinstance(found, str) else found


CLAIMS: list[Claim] = []
"""Every claim, the gravest first within its module."""


def claim(name: str, fails: str, severity: Severity, means: str, **rest: Any) -> Callable[[Test], Claim]:
    def enter(test: Test) -> Claim:
        CLAIMS.append(Claim(name, fails, severity, means, test, **rest))
        return CLAIMS[-1]

    return enter


def first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    return lines[0][:160]


def near(a: Any, b: Any, tolerance: float) -> bool:
    """Equal to within a share of the larger one, or of 1 where both are small."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    scale = max(1.0, float(np.abs(b).max(initial=0)))
    return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True))


def precision(trial: Trial) -> Dtype:
    """The widest dtype that the framework and the loss compute in."""
    return "float32" if trial.subject.framework == "jax" else trial.subject.widest


def exactness(trial: Trial, outcome: Any) -> float:
    """How far two computations of one number may differ, by the digits of what the loss casts to inside."""
    dtypes = str(getattr(outcome.value, "dtype", "")), trial.subject.computes
    if any("float16" in dtype for dtype in dtypes):
        return 2e-2
    return 1e-9 if all("float64" in dtype for dtype in dtypes) and trial.subject.framework != "jax" else 2e-5


def apart(*numbers: float) -> list[str]:
    """Numbers with as many digits as tell them from each other, four at least."""
    digits = 4
    while digits < 17 and len({f"{x:.{digits - 1}g}" for x in numbers}) < len(set(numbers)):
        digits += 1
    return ["NaN" if math.isnan(x) else f"{x:.{digits}g}" for x in numbers]


def shown(x: Array) -> str:
    x = np.asarray(x)
    if x.size != 1:
        return f"{x.size} values, {np.array2string(x.ravel()[:3], precision=4)}"
    number = float(x.ravel()[0])
    return "NaN" if math.isnan(number) else f"{number:.6g}"


def size_of(x: Array) -> str:
    return f"{float(np.abs(x).max(initial=0)):.4g}"


# --- values and gradients --------------------------------------------------------------------------------------------


@claim(
    "the value is finite",
    "the value is NaN or infinite",
    "wrong value",
    "one such batch makes every weight NaN, and the run is lost",
    regimes=REGIMES,
    frameworks=EVERYWHERE,
    examples=60,
)
def finite_value(trial: Trial) -> str | None:
    outcome = trial.run("float32")
    if not np.isfinite(outcome.number).all():
        return f"the value is {shown(outcome.number)}"
    return None


@claim(
    "the value lies in the range of the loss",
    "the value leaves the range of the loss",
    "wrong value",
    "a negative loss is driven down without end, and curves cannot be compared with those of the paper",
    regimes=REGIMES,
    frameworks=EVERYWHERE,
    examples=20,
)
def in_range(trial: Trial) -> str | None:
    """Of a loss that the catalogue knows; means of weighted elements may leave the range of one element."""
    like = trial.subject.like
    if like is None:
        raise NotAskedError
    low, high = like.facts.span
    value = trial.run("float32").number
    if like.reduction != "mean" or getattr(like, "class_weight", None) is not None:
        high = math.inf
    if value.min(initial=math.inf) < low - 1e-6 or value.max(initial=-math.inf) > high * (1 + 1e-6):
        return f"it is {shown(value)}, and its range is from {low:g} to {high:g}"
    return None


@claim(
    "the gradient is finite",
    "the gradient is NaN or infinite",
    "wrong gradient",
    "the loss looks fine, and after the next step every weight is NaN",
    regimes=REGIMES,
    examples=60,
    slope=True,
)
def finite_gradient(trial: Trial) -> str | None:
    outcome = trial.run("float32")
    assert outcome.gradient is not None
    if np.isfinite(outcome.number).all() and not np.isfinite(outcome.gradient).all():
        bad = int((~np.isfinite(outcome.gradient)).sum())
        return f"the value is {shown(outcome.number)}, and {bad} of {outcome.gradient.size} gradients are not finite"
    return None


@claim(
    "the value depends on the prediction",
    "the value does not depend on the prediction",
    "wrong gradient",
    "nothing is learned: backward raises, or every gradient is 0",
    examples=3,
    shows="print(loss(prediction.requires_grad_(), target).requires_grad)",
)
def attached(trial: Trial) -> str | None:
    if not trial.subject.differentiable:
        raise NotAskedError
    outcome = trial.subject.run(trial.batch)
    if not outcome.attached:
        return "the result does not require a gradient: it is cut off from the prediction"
    return None


@claim(
    "the gradient is the slope of the value",
    "the gradient is not the slope of the value",
    "wrong gradient",
    "the optimiser follows another function than the one that is logged",
    slope=True,
)
def gradient(trial: Trial) -> str | None:
    """Against differences to both sides: at a kink any slope between the two is right. Where several kinks meet, as at
    ties of a pool, autograd may give none of the slopes, and the nearest place without a tie is asked."""
    if not trial.subject.differentiable or trial.subject.holds_constants:
        raise NotAskedError
    wrong = _slope_error(trial)
    if wrong is None:
        return None
    nudge = 1e-2 * np.random.default_rng(0).normal(size=trial.batch.prediction.shape)
    aside = trial.batch.with_prediction(trial.batch.prediction + nudge)
    return None if _slope_error(dataclasses.replace(trial, batch=aside, outcomes={})) is None else wrong


def _slope_error(trial: Trial) -> str | None:
    outcome = trial.subject.run(trial.batch, precision(trial))
    assert outcome.gradient is not None
    digits = exactness(trial, outcome)
    if digits > 1e-3:
        raise NotAskedError  # computed in half precision, whose steps are no slopes
    wide = digits < 1e-6
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
    "the gradient does not scale with what comes from above",
    "wrong gradient",
    "weights of a sum of losses, gradient accumulation and mixed precision's scaler have no effect",
    frameworks=TORCH,
    examples=3,
    slope=True,
)
def upstream(trial: Trial) -> str | None:
    if not trial.subject.differentiable:
        raise NotAskedError
    outcome = trial.subject.run(trial.batch)
    once, thrice = outcome.gradient, trial.subject.run(trial.batch, scale=3.0).gradient
    assert once is not None
    assert thrice is not None
    if not near(thrice, 3 * once, max(1e-5, exactness(trial, outcome))):
        return f"3 · loss has a gradient of size {size_of(thrice)}, the loss alone one of {size_of(once)}"
    return None


@claim(
    "the second derivative is right, or refused",
    "the second derivative is wrong",
    "wrong gradient",
    "gradient penalties, Hessians and meta-learning follow a wrong direction in silence",
    frameworks=TORCH,
    examples=4,
    shows="print(torch.autograd.functional.hessian(lambda p: loss(p, target).sum(), prediction))",
    slope=True,
)
def second_derivative(trial: Trial) -> str | None:
    """The derivative of a gradient's component along a fixed direction, against differences of the gradient."""
    import torch

    if not trial.subject.differentiable or trial.subject.holds_constants:
        raise NotAskedError
    digits = exactness(trial, trial.subject.run(trial.batch))
    if digits > 1e-3:
        raise NotAskedError
    wide = digits < 1e-6
    prediction, target, keywords = tensors("torch", trial.batch, precision(trial))
    direction = torch.tensor(np.random.default_rng(0).normal(size=trial.batch.prediction.shape)).to(prediction.dtype)

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
    steps = (1e-5, 1e-6) if wide else (1e-2, 3e-3)
    expected, again = (_change(lambda s: component(prediction + s * direction)[1].item(), step) for step in steps)
    if abs(expected - again) > 1e-2 * max(1.0, abs(expected)):
        raise NotAskedError  # a kink: the gradient jumps there
    given = (second.double() * direction).sum().item()
    tolerance = (1e-3 if wide else 2e-2) * max(1.0, abs(expected), abs(given))
    if abs(given - expected) > tolerance:
        return f"along one direction it is {given:.4g}, and the gradient changes there by {expected:.4g}"
    return None


def _change(f: Callable[[float], float], step: float) -> float:
    return (f(step) - f(-step)) / (2 * step)
