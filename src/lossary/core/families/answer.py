"""What likelihood losses are functions of: the probability of an answer, from its logarithm or from a logit."""

from __future__ import annotations

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import focal, focal_slope, log_sigmoid, mix, sigmoid
from lossary.core.once import once


class Answer:
    """The probability of an answer: `log_p`, `p`, and `miss` = 1 - p, each with all its digits and computed once."""

    def __init__(self, xp: Namespace, log_p: Array, smooth: bool = True) -> None:
        # `elementwise` tells every quantity whether its value is differentiated; here that changes nothing
        self.xp, self.log_p = xp, log_p

    @once
    def p(self) -> Array:
        return self.xp.exp(self.log_p)

    @once
    def miss(self) -> Array:
        return -self.xp.expm1(self.log_p)

    def fading(self, gamma: float) -> Array:
        """-(1-p)^γ ln p: the term of the focal loss."""
        return focal(self.xp, self.log_p, gamma, self.miss)

    def fading_slope(self, gamma: float) -> Array | float:
        """Its derivative by ln p."""
        return focal_slope(self.xp, self.log_p, gamma, self.miss)


class Logit(Answer):
    """An answer of probability σ(z)."""

    def __init__(self, xp: Namespace, z: Array) -> None:
        self.xp, self.z = xp, z

    @once
    def log_p(self) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        return log_sigmoid(self.z)

    @once
    def p(self) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        return sigmoid(self.z)

    @once
    def miss(self) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        return sigmoid(-self.z)


class Scored(Logit):
    """A logit z with its target t, 0 or 1 or between, and the answer no beside the answer yes."""

    def __init__(self, xp: Namespace, z: Array, t: Array, smooth: bool = True) -> None:
        super().__init__(xp, z)
        self.t = t if t.dtype == z.dtype else xp.astype(t, z.dtype)
        self.smooth = smooth
        self._sides: dict[tuple[float, float], Array] = {}
        self._lessened: dict[float, Answer] = {}

    @once
    def label(self) -> Logit:
        """The answer that a hard target says is true."""
        return Logit(self.xp, self.sign * self.z)

    @once
    def sign(self) -> Array:
        """1 for a target of 1, -1 for 0. (A `where` would cost ten times a product: its branch cannot be foreseen.)"""
        return 2.0 * self.t - 1.0

    def side(self, on: float, off: float) -> Array | float:
        """The factor of each place: `on` where the target is 1, `off` where it is 0."""
        if on == off:
            return on
        if (on, off) not in self._sides:
            self._sides[on, off] = self.t * on + (1.0 - self.t) * off
        return self._sides[on, off]

    @once
    def no(self) -> Answer:
        """The answer of probability 1 - σ(z)."""
        answer = Answer(self.xp, self._logs[1])
        answer.p, answer.miss = self.miss, self.p
        return answer

    @once
    def yes(self) -> Answer:
        answer = Answer(self.xp, self._logs[0])
        answer.p, answer.miss = self.p, self.miss
        return answer

    def less(self, margin: float) -> Answer:
        """The answer no, with the probability of yes less by `margin`, not below 0."""
        if margin not in self._lessened:
            p = self.xp.clip(self.p - margin, min=0.0)
            self._lessened[margin] = answer = Answer(self.xp, self.xp.log1p(-p))
            answer.p, answer.miss = 1.0 - p, p
        return self._lessened[margin]

    @once
    def _logs(self) -> tuple[Array, Array]:
        """ln σ(z) and ln σ(-z)."""
        if self.smooth:
            return self.log_p, log_sigmoid(-self.z)
        # one logarithm for both; at z = 0 the slope of |z| would be missing
        both = log_sigmoid(self.xp.abs(self.z))
        return both + self.xp.clip(self.z, max=0.0), both - self.xp.clip(self.z, min=0.0)

    @once
    def cross_entropy(self) -> Array:
        """-t ln p - (1-t) ln(1-p)."""
        return -mix(self.t, *self._logs)

    @once
    def error(self) -> Array:
        """p - t, which is the derivative of the cross entropy, without loss of digits at t = 0 and t = 1."""
        return mix(self.t, -self.miss, self.p)
