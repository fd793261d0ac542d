"""Which convention a loss has: asked, where the user says so, and otherwise tried."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from lossary.checker.engines import narrowest
from lossary.checker.scenes import Convention, Task, conventions, random_scene
from lossary.checker.subject import Subject, Trial
from lossary.core.families import BoxLoss, ClassificationLoss, PointwiseLoss
from lossary.core.families.classification import ProbabilityLoss
from lossary.core.families.pointwise import REALS
from lossary.core.loss import Loss

SEEDS = (0, 1, 2)


class NotUnderstoodError(ValueError):
    """No known convention fits; the message lists what was tried and how it failed."""


@dataclasses.dataclass(frozen=True)
class Attempt:
    """How a loss took one convention."""

    convention: Convention
    failure: str | None  # why it is none, in words
    sensible: bool = False  # whether the truth was better than any other guess
    warned: bool = False  # whether the loss warned: of shapes that do not match, of an option that it leaves out


def declared(loss: Loss) -> Convention | None:
    """The convention that a loss of the catalogue declares; None where scenes cannot say what it takes: features,
    alignments, numbers of a part of the line, operands that a call must have."""
    if any(operand not in loss.optional for operand in loss.takes):
        return None
    if isinstance(loss, ClassificationLoss):
        if loss.reads_between:
            return None
        probabilities = isinstance(loss, ProbabilityLoss) and not loss.from_logits
        scores, last = "probabilities" if probabilities else "logits", loss.class_axis == -1
        return Convention("segmentation", loss.task, scores, "labels", last=last)
    if isinstance(loss, BoxLoss) and loss.format == "xyxy":
        return Convention("boxes", "boxes", "plain", "float")
    if isinstance(loss, PointwiseLoss) and all(loss.domain(x) == REALS for x in ("prediction", "target")):
        return Convention("regression", "values", "plain", "float")
    return None


def infer(subject: Subject, task: Task | None = None, scores: str | None = None, kind: str | None = None) -> Convention:
    """The first convention under which the loss accepts scenes without a warning and likes the truth best.

    Failing that, the first of which it only warns; where it makes sense of none, the first that it accepts: then the
    claims about its meaning will say what is wrong.
    """
    attempts: list[Attempt] = []
    for convention in conventions(task):
        if scores not in (None, convention.scores) and convention.scores != "plain":
            continue
        if kind not in (None, convention.kind):
            continue
        attempts.append(attempt(subject, convention))
        if attempts[-1].sensible and not attempts[-1].warned:
            return convention
    accepted = [a for a in attempts if a.failure is None]
    if accepted:
        return next((a for a in accepted if a.sensible), accepted[0]).convention
    by_failure: dict[str, list[str]] = {}
    for a in attempts:
        by_failure.setdefault(str(a.failure), []).append(str(a.convention))
    tried = "; ".join(
        f"{failure} for {kinds[0]}" + (f" and {len(kinds) - 1} others" if len(kinds) > 1 else "")
        for failure, kinds in by_failure.items()
    )
    raise NotUnderstoodError(
        f"{subject.name} accepts no known kind of prediction and target. It gave {tried}. If it needs more arguments, "
        "wrap it in a function of two."
    )


def understood(
    subject: Subject, task: Task | None = None, scores: str | None = None, kind: str | None = None
) -> tuple[Subject, Convention]:
    """A subject with its convention and its digits; where it refuses float64 it is taken in float32."""
    try:
        convention = infer(subject.fresh(), task, scores, kind)
    except NotUnderstoodError:
        subject = dataclasses.replace(subject, widest="float32")
        convention = infer(subject.fresh(), task, scores, kind)
    if subject.framework != "torch":
        return subject, convention
    batch = convention.render(random_scene(convention, 0))
    return dataclasses.replace(subject, computes=narrowest(subject.fresh().call, batch, subject.widest)), convention


def attempt(subject: Subject, convention: Convention) -> Attempt:
    """Three ordinary scenes in a convention: accepted at all, and the truth better than a random and a wrong guess?"""
    sensible, warned = True, False
    for seed in SEEDS:
        scene = random_scene(convention, seed)
        try:
            with warnings.catch_warnings(record=True) as given:
                warnings.simplefilter("always")
                value, worst, *right = (
                    Trial.of(subject, convention, s).value() for s in (scene, scene.wrong(), *scene.right())
                )
                shape = subject.run(convention.render(scene), "float32").number.shape
        except Exception as error:
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            return Attempt(convention, f"{type(error).__name__}: {first[:80]}")
        if not np.isfinite([value, worst, *right]).all():
            return Attempt(convention, "gives NaN or infinity")
        if len(shape) > scene.guess.ndim:
            return Attempt(convention, f"gives a result of shape {shape}")
        sensible &= min(right) < min(value, worst)
        warned |= any(issubclass(warning.category, UserWarning) for warning in given)
    return Attempt(convention, None, sensible, warned)
