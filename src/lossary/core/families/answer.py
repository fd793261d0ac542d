"""What likelihood losses are functions of: the probability of an answer, from its logarithm or from a logit."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import add_product, affine, clip, focal, focal_slope, log_sigmoid, mix, sigmoid
from lossary.core.once import once


class Answer:
    """The probability of an answer: `log_p`, `p`, and `miss` = 1 - p, each with all its digits and computed once."""

    def __init__(self, xp: Namespace, log_p: Array, smooth: bool = True) -> None:
        # `elementwise` tells every quantity whether its value is differentiated
        self.xp, self.log_p, self.smooth = xp, log_p, smooth

    @once
    def p(self) -> Array:
        return self.xp.exp(self.log_p)

    @once
    def miss(self) -> Array:
        return -self.xp.expm1(self.log_p)

    @once
    def rough_p(self) -> Array:
        """p as 1 - miss, which has lost its digits where it is next to nothing: good beside `miss`."""
        return 1.0 - self.miss

    def fading(self, gamma: float) -> Array:
        """-(1-p)^γ ln p: the term of the focal loss."""
        return focal(self.xp, self.log_p, gamma, self.miss, self.smooth)

    def fading_slope(self, gamma: float) -> Array | float:
        """Its derivative by ln p."""
        return focal_slope(self.xp, self.log_p, gamma, self.miss, None if gamma == 0 else self.rough_p)


class Logit(Answer):
    """An answer of probability σ(z). Where nothing differentiates through it (not `smooth`), one logarithm is taken
    where autograd needs a log-sigmoid, and it serves both this answer and the opposite one."""

    def __init__(self, xp: Namespace, z: Array, smooth: bool = True) -> None:
        self.xp, self.z, self.smooth = xp, z, smooth

    @once
    def log_p(self) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        return log_sigmoid(self.z) if self.smooth else self.log_larger - self.below

    @once
    def p(self) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        return sigmoid(self.z)

    @once
    def miss(self) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        return sigmoid(self.minus)

    @once
    def minus(self) -> Array:
        return -self.z

    @once
    def lesser(self) -> Array:
        """The lesser of p and 1 - p; it has all digits, as either is read off beside the other."""
        return self.xp.minimum(self.rough_p, self.miss)

    @once
    def log_larger(self) -> Array:
        """ln of the larger of p and 1 - p. At z = 0 its slope is not that of a function."""
        return self.xp.log1p(-self.lesser)

    @once
    def below(self) -> Array:
        """How far z lies below 0: ln p = ln max(p, 1-p) - that."""
        return clip(self.xp, self.minus, min=0.0)


class Scored(Logit):
    """A logit z with its target t, 0 or 1 or between, and the answer no beside the answer yes."""

    hard = False  # whether t is 0 or 1 at every place

    def __init__(self, xp: Namespace, z: Array, t: Array, smooth: bool = True) -> None:
        super().__init__(xp, z, smooth)
        self.t = t if t.dtype == z.dtype else xp.astype(t, z.dtype)
        self._memo: dict[Hashable, Any] = {}

    def shared(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What value and slope of a loss both read, made once."""
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]

    @once
    def label(self) -> Logit:
        """The answer that a hard target says is true."""
        return Logit(self.xp, self.sign * self.z, self.smooth)

    @once
    def sign(self) -> Array:
        """1 for a target of 1, -1 for 0. (A `where` would cost ten times a product: its branch cannot be foreseen.)"""
        return affine(-1.0, 2.0, self.t)

    def side(self, on: float, off: float) -> Array | float:
        """The factor of each place: `on` where the target is 1, `off` where it is 0."""
        if on == off:
            return on
        # what is added to the lesser factor: the other way round its digits would go
        return self.shared(
            ("side", on, off),
            lambda: affine(off, on - off, self.t) if on > off else affine(on, off - on, 1.0 - self.t),
        )

    @once
    def no(self) -> Answer:
        """The answer of probability 1 - σ(z)."""
        return self._answer(self._logs[1], self.miss, self.p)

    @once
    def yes(self) -> Answer:
        return self._answer(self._logs[0], self.p, self.miss)

    @once
    def rough_p(self) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.p

    def less(self, margin: float) -> tuple[Answer, Answer]:
        """The answers yes and no, the second with the probability of yes less by `margin`, not below 0."""
        return self.shared(("less", margin), lambda: self._less(margin))

    def _less(self, margin: float) -> tuple[Answer, Answer]:
        xp = self.xp
        miss = clip(xp, self.p - margin, min=0.0)
        if self.hard and not self.smooth:  # a place reads the logarithm of its own side only
            log_yes = log_no = add_product(xp.log1p(-mix(self.t, self.lesser, miss)), self.t, self.below, -1.0)
        else:
            log_yes, log_no = self.log_p, xp.log1p(-miss)
        return self._answer(log_yes, self.p, self.miss), self._answer(log_no, 1.0 - miss, miss)

    def _answer(self, log_p: Array, p: Array, miss: Array) -> Answer:
        answer = Answer(self.xp, log_p, self.smooth)
        answer.p, answer.rough_p, answer.miss = p, p, miss
        return answer

    @once
    def _logs(self) -> tuple[Array, Array]:
        """ln σ(z) and ln σ(-z)."""
        if self.smooth:
            return self.log_p, log_sigmoid(self.minus)
        return self.log_p, self.log_larger - self.above

    @once
    def above(self) -> Array:
        """How far z lies above 0."""
        return clip(self.xp, self.z, min=0.0)

    @once
    def cross_entropy(self) -> Array:
        """-t ln p - (1-t) ln(1-p)."""
        if self.smooth:
            return -mix(self.t, *self._logs)
        return mix(self.t, self.below, self.above) - self.log_larger

    @once
    def error(self) -> Array:
        """p - t, which is the derivative of the cross entropy, without loss of digits at t = 0 and t = 1."""
        return mix(self.t, -self.miss, self.p)


class Labelled(Scored):
    """A logit with a target that is 0 or 1."""

    hard = True
