"""The search for the smallest input on which a claim fails: Hypothesis draws scenes and shrinks what it finds."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import dataclasses
import random
import time
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import find as hypothesis_find
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from lossary.checker.claims import Claim, Regime, Violation
from lossary.checker.scenes import Convention, Scene
from lossary.checker.subject import Subject, Trial

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
_ELEMENTS: dict[str, Any] = {
    "ordinary": _QUARTERS,
    "edge": st.sampled_from([0.0, 1.0, -1.0, 40.0, -40.0]),
    "extreme": st.sampled_from([0.0, 1.0, -1e4, 1e4]),
}


@st.composite
def scenes(draw: Any, convention: Convention, regime: Regime) -> Scene:
    """Scenes of a convention, small ones first."""
    samples = draw(st.integers(2, 3))
    if convention.kind == "boxes":
        return _box_scene(draw, regime, samples)
    if convention.kind == "pairs":
        shape = (samples, draw(st.integers(2, 3)))
        steps = _QUARTERS if regime == "ordinary" else _ELEMENTS[regime]
        return Scene("pairs", _array(draw, shape, steps), _array(draw, shape, steps))
    if convention.kind == "values":
        shape = (samples, draw(st.integers(1, 3)))
        truth = _array(draw, shape, _QUARTERS)
        steps = {"ordinary": _QUARTERS, "edge": st.sampled_from([0.0, 1e-8, -1.0, 1.0])}
        error = _array(draw, shape, steps.get(regime, st.sampled_from([-1e4, 1e4])))
        return Scene("values", truth + error, truth)
    side = draw(st.integers(2, 3))
    extent = {"classification": (), "segmentation": (side, side), "sequence": (side,)}[convention.task]
    classes = draw(st.integers(3, 4))
    if convention.kind == "multiclass":
        truth = _array(draw, (samples, *extent), st.integers(0, classes - 1)).astype(int)
        scene = Scene("multiclass", _array(draw, (samples, classes, *extent), _ELEMENTS[regime]), truth)
    else:
        shape = (samples, classes, *extent) if convention.kind == "multilabel" else (samples, *extent)
        truth = _array(draw, shape, st.integers(0, 1)).astype(int)
        scene = Scene(convention.kind, _array(draw, shape, _ELEMENTS[regime]), truth)
    if regime != "ordinary" and draw(st.booleans()):  # right at every place, as a trained model is
        right = scene.perfect()
        return dataclasses.replace(right, guess=draw(st.sampled_from([2.0, 500.0])) * right.guess)
    return scene


def _array(draw: Any, shape: tuple[int, ...], elements: Any) -> np.ndarray[Any, Any]:
    count = int(np.prod(shape))
    return np.array(draw(st.lists(elements, min_size=count, max_size=count)), dtype=float).reshape(shape)


def _box_scene(draw: Any, regime: Regime, samples: int) -> Scene:
    if regime == "edge":
        pairs = [draw(st.sampled_from(EDGE_BOXES)) for _ in range(samples)]
        guess, truth = (np.array([pair[side] for pair in pairs], dtype=float) for side in (0, 1))
        return Scene("boxes", guess, truth)
    size = draw(st.sampled_from([1e-3, 1e4])) if regime == "extreme" else 1.0
    boxes: list[np.ndarray[Any, Any]] = []
    for _ in range(2):
        low = _array(draw, (samples, 2), st.integers(0, 24).map(lambda i: i / 4))
        side = _array(draw, (samples, 2), st.integers(2, 24).map(lambda i: i / 4))
        boxes.append(size * np.concatenate([low, low + side], axis=1))
    return Scene("boxes", boxes[0], boxes[1])


SHRINKING = 10.0
"""Seconds for making a failure smaller: each step is a few calls, and large scenes have thousands of steps."""


def smallest_failure(
    claim: Claim, subject: Subject, convention: Convention, regime: Regime, deadline: float
) -> tuple[Trial, Violation] | None:
    """The smallest trial that Hypothesis finds on which the claim fails, and what is wrong there."""

    failed: set[bytes] = set()
    end = deadline

    def fails(scene: Scene) -> bool:
        nonlocal end
        key = scene.guess.tobytes() + scene.truth.tobytes()
        if time.monotonic() > end:
            return key in failed  # nothing new is tried, and what is known stays so
        if claim(Trial.of(subject, convention, scene, regime)) is None:
            return False
        if not failed:
            end = min(deadline, time.monotonic() + SHRINKING)
        failed.add(key)
        return True

    found = _find(scenes(convention, regime), fails, claim.examples)
    if found is None:
        return None
    trial = Trial.of(subject, convention, found, regime)
    violation = claim(trial)
    return None if violation is None else (trial, violation)


def _find(strategy: Any, condition: Any, examples: int) -> Scene | None:
    chosen = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType]
        phases=(Phase.generate, Phase.shrink) if examples > 1 else (Phase.generate,),
    )
    try:
        return hypothesis_find(strategy, condition, settings=chosen, random=random.Random(0))
    except NoSuchExample:
        return None
