"""The search for the smallest input on which a claim fails.

Of a loss whose convention is known Hypothesis draws scenes, and shrinks what it finds. A loss of the catalogue says
itself what it takes, features, alignments and operands included: it is also tried on batches of that declaration.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import contextlib
import dataclasses
import random
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import find as hypothesis_find
from hypothesis import strategies as st
from hypothesis.errors import Flaky, NoSuchExample

from lossary.checker.claims import Claim, NotAskedError, Regime, Violation
from lossary.checker.draws import draw
from lossary.checker.scenes import Convention, Scene, random_scene
from lossary.checker.subject import Subject, Trial
from lossary.core.loss import Loss

EDGE_BOXES = (
    ([0, 0, 1, 1], [0, 0, 1, 1]),
    ([0, 0, 1, 0], [0, 0, 1, 1]),
    ([0, 0, 0, 1], [0, 0, 1, 1]),
    ([0, 0, 0, 0], [0, 0, 1, 1]),
    ([0, 0, 0, 0], [0, 0, 0, 0]),
    ([0, 0, 1, 1], [1, 0, 2, 1]),
    ([1, 1, 2, 2], [0, 0, 4, 4]),
    ([0, 0, 1, 1], [5, 5, 6, 6]),
)
"""Prediction and target: equal, without height, without width, a point, two equal points, touching, one inside the
other, apart."""

_QUARTERS = st.integers(-12, 12).map(lambda i: i / 4)


_EDGES = [0.0, 1.0, -1.0, 40.0, -40.0]


def _numbers(regime: Regime, reach: float, edge: list[float]) -> Any:
    """Numbers of a regime; none beyond the size that the loss is meant for."""
    if regime == "ordinary":
        return _QUARTERS
    return st.sampled_from([max(-reach, min(x, reach)) for x in (edge if regime == "edge" else [0.0, 1.0, -1e4, 1e4])])


@st.composite
def scenes(take: Any, convention: Convention, regime: Regime, reach: float) -> Scene:
    """Scenes of a convention, small ones first."""
    samples = take(st.integers(2, 3))
    if convention.kind == "boxes":
        return _box_scene(take, regime, samples)
    if convention.kind in ("pairs", "values"):
        return _plain_scene(take, convention, regime, reach, samples)
    scores = _numbers(regime, reach, _EDGES)
    side = take(st.integers(2, 3))
    # of more classes and places than these the numbers would not be printed
    classes = convention.classes or take(st.integers(3, 3 if side == 3 else 4))
    extent = {"classification": (), "segmentation": (2, side), "sequence": (side,)}[convention.task]
    if convention.kind == "multiclass":
        truth = _array(take, (samples, *extent), st.integers(0, classes - 1)).astype(int)
        scene = Scene("multiclass", _array(take, (samples, classes, *extent), scores), truth)
    else:
        shape = (samples, classes, *extent) if convention.kind == "multilabel" else (samples, *extent)
        truth = _array(take, shape, st.integers(0, 1)).astype(int)
        scene = Scene(convention.kind, _array(take, shape, scores), truth)
    if regime != "ordinary" and take(st.booleans()):  # right at every place, as a trained model is
        right = scene.perfect()
        return dataclasses.replace(
            right, guess=np.clip(take(st.sampled_from([2.0, 500.0])) * right.guess, -reach, reach)
        )
    return scene


def _array(take: Any, shape: tuple[int, ...], elements: Any) -> np.ndarray[Any, Any]:
    count = int(np.prod(shape))
    return np.array(take(st.lists(elements, min_size=count, max_size=count)), dtype=float).reshape(shape)


def _plain_scene(take: Any, convention: Convention, regime: Regime, reach: float, samples: int) -> Scene:
    """Values, or vectors and those that they belong to, with the third argument where there is one."""
    role = convention.role
    steps = _numbers(regime, reach, _EDGES)
    shape: tuple[int, ...] = (samples, take(st.integers(1 if convention.kind == "values" else 2, 3)))
    if role == "order":
        shape = shape[:1]
    rows = shape if role in ("variance", "negative") else shape[:1]
    signs = st.sampled_from([0.0, 1.0] if role.startswith("flag") else [1.0, -1.0])
    elements = {"variance": st.integers(1, 12).map(lambda i: i / 4), "negative": steps}.get(role, signs)
    operand = _array(take, rows, elements) if role else None
    if convention.kind == "pairs":
        return Scene("pairs", _array(take, shape, steps), _array(take, shape, steps), operand, role)
    truth = _array(take, shape, _QUARTERS)
    error = _array(take, shape, _numbers(regime, reach, [0.0, 1e-8, -1.0, 1.0]))
    return Scene("values", truth + error, truth, operand, role)


def _box_scene(take: Any, regime: Regime, samples: int) -> Scene:
    if regime == "edge":
        pairs = [take(st.sampled_from(EDGE_BOXES)) for _ in range(samples)]
        guess, truth = (np.array([pair[side] for pair in pairs], dtype=float) for side in (0, 1))
        return Scene("boxes", guess, truth)
    size = take(st.sampled_from([1e-3, 1e4])) if regime == "extreme" else 1.0
    boxes: list[np.ndarray[Any, Any]] = []
    for _ in range(2):
        low = _array(take, (samples, 2), st.integers(0, 24).map(lambda i: i / 4))
        side = _array(take, (samples, 2), st.integers(2, 24).map(lambda i: i / 4))
        boxes.append(size * np.concatenate([low, low + side], axis=1))
    return Scene("boxes", boxes[0], boxes[1])


Failure = tuple[Trial, Violation]

SHRINKING = 10.0
"""Seconds for making a failure smaller: each step is a few calls, and large scenes have thousands of steps."""


class Asking:
    """A claim at work: it says what is wrong with a trial, and remembers whether it had anything to say of any."""

    def __init__(self, claim: Claim) -> None:
        self.claim, self.asked = claim, False

    def __call__(self, trial: Trial) -> Failure | None:
        try:
            violation = self.claim(trial)
        except NotAskedError:
            return None
        self.asked = True
        return None if violation is None else (trial, violation)


class Scenes:
    """Trials from scenes."""

    def __init__(self, subject: Subject, convention: Convention) -> None:
        self.subject, self.convention = subject, convention

    def one(self) -> Trial:
        return Trial.of(self.subject, self.convention, random_scene(self.convention, 0, small=True))

    def smallest_failure(self, ask: Asking, regime: Regime, deadline: float) -> Failure | None:
        """The smallest trial that Hypothesis finds on which the claim fails, and what is wrong there."""

        failures: dict[bytes, Failure] = {}  # by their scene, the one that was seen last at the end
        end = deadline

        def fails(scene: Scene) -> bool:
            nonlocal end
            key = b"".join(x.tobytes() for x in (scene.guess, scene.truth, scene.operand) if x is not None)
            if time.monotonic() > end:  # nothing new is tried, and what is known stays so
                failure = failures.get(key)
            else:
                failure = ask(Trial.of(self.subject, self.convention, scene, regime))
            if failure is None:
                return False
            if not failures:
                end = min(deadline, time.monotonic() + SHRINKING)
            failures.pop(key, None)
            failures[key] = failure
            return True

        _search(scenes(self.convention, regime, self.subject.reach), fails, ask.claim.examples)
        return next(reversed(failures.values()), None)


class Draws:
    """Trials from what a loss of the catalogue declares."""

    MOST = 10
    """Batches of a regime: each holds many places, where Hypothesis tries a few."""

    def __init__(self, subject: Subject, loss: Loss) -> None:
        self.subject, self.loss = subject, loss

    def one(self) -> Trial:
        return self._trial("ordinary", 0)

    def smallest_failure(self, ask: Asking, regime: Regime, deadline: float) -> Failure | None:
        """The first trial on which the claim fails, or one of its samples alone."""
        for seed in range(min(ask.claim.examples, self.MOST)):
            if time.monotonic() > deadline:
                return None
            trial = self._trial(regime, seed)
            failure = ask(trial)
            if failure is not None:
                alone = (ask(trial[i : i + 1]) for i in range(len(trial.batch.prediction)))
                return next((f for f in alone if f is not None), failure)
        return None

    def _trial(self, regime: Regime, seed: int) -> Trial:
        return Trial(self.subject, draw(self.loss, regime, seed=seed), regime)


def first_failure(ask: Asking, sources: Sequence[Scenes | Draws], deadline: float) -> Failure | None:
    """What a claim finds in trials of these sources; those of the first are preferred, because they shrink."""
    if ask.claim.examples == 1:  # it makes its own inputs, or costs too much to search
        return ask(sources[0].one())
    for source in sources:
        for regime in ask.claim.regimes:
            failure = source.smallest_failure(ask, regime, deadline)
            if failure is not None:
                return failure
    return None


def _search(strategy: Any, condition: Any, examples: int) -> None:
    """Calls `condition` on examples of a strategy; where one meets it, on smaller ones, and on the smallest last."""
    chosen = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType]
        phases=(Phase.generate, Phase.shrink) if examples > 1 else (Phase.generate,),
    )
    # flaky is a loss that draws random numbers, and a search that runs out of time
    with contextlib.suppress(NoSuchExample, Flaky):
        hypothesis_find(strategy, condition, settings=chosen, random=random.Random(0))
