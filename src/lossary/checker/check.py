"""`lossary.check`: a loss through every claim."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from lossary.checker import calls, fields, meanings, nearest
from lossary.checker.claims import CLAIMS, SEVERITIES, first_line
from lossary.checker.engines import Framework
from lossary.checker.examples import code, short
from lossary.checker.inference import declared, understood
from lossary.checker.loading import made_by, subject_of
from lossary.checker.report import EQUALS, Finding, Report
from lossary.checker.scenes import Convention, Task, random_scene
from lossary.checker.subject import Subject, Trial
from lossary.core.extras import needed
from lossary.core.loss import Loss

_ = (calls, meanings, fields)  # their claims enter CLAIMS when they are imported

Progress = Callable[[str, int, int], None]
"""Told the claim that is tried, how many were, and how many there are."""


def check(
    loss: Callable[..., Any],
    *,
    task: Task | None = None,
    scores: str | None = None,
    kind: str | None = None,
    classes: int | None = None,
    like: Loss | None = None,
    framework: Framework | None = None,
    target_first: bool | None = None,
    ignore_index: int | None = None,
    seconds: float = 60.0,
    name: str | None = None,
    statement: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Runs any loss through the claims that the losses of this catalogue keep, and says what fails.

    Args:
        loss: a callable `(prediction, target)`: a `torch.nn.Module`, a function, a Keras loss, a loss of the catalogue.
        task: `"segmentation"`, `"classification"`, `"boxes"`, `"regression"`, `"sequence"` (labels per token)
            or `"embedding"` (pairs of vectors, each pair against the others).
            Default: the first whose inputs the loss accepts and makes sense of.
        scores: whether the prediction holds `"logits"` or `"probabilities"`; default: what makes sense.
        kind: whether a place has one of several labels (`"multiclass"`), one of two (`"binary"`) or any number of them
            (`"multilabel"`), for a loss that takes more than one; default: what makes sense.
        classes: how many classes the loss was made for; default: what it takes.
        like: the loss of the catalogue that it is meant to be. Default: the one that gives the same number, if any.
        framework: `"torch"`, `"jax"`, `"tensorflow"` or `"numpy"`; default: by where the loss comes from.
        target_first: whether the call is `loss(target, prediction)`, as in Keras; default: by where it comes from.
        ignore_index: the label that the loss leaves out; default: its attribute of that name.
        seconds: no claim is begun after this time.
        name: what the report calls the loss.
        statement: the line of Python that makes `loss`, for the examples of the report.
        progress: called before each claim.

    Returns:
        A `Report`; `report.ok`, `report.findings`, `report.show()`.

    Raises:
        NotUnderstoodError: a ValueError: no kind of input is accepted; the message lists what was tried.

    The check runs in this process: a loss that never returns is not ended. `lossary check` on the command line ends it.

    >>> import lossary
    >>> report = lossary.check(lossary.L1Loss(), seconds=10)
    >>> report.ok, report.convention
    (True, 'values of one shape')
    """
    from lossary.checker.draws import has_draws

    with needed("the checker", "check"):
        from lossary.checker.search import Asking, Draws, Scenes, first_failure  # which needs Hypothesis

    start = time.monotonic()
    subject = subject_of(loss, framework, target_first, ignore_index, name)
    statement = statement or made_by(loss, subject.name)
    equals, difference, draws = None, None, None
    if isinstance(loss, Loss) and like is None and has_draws(loss):  # it says itself what it takes
        subject, convention = dataclasses.replace(subject, like=loss, ours=True), declared(loss)
        draws = Draws(subject, loss)
    else:
        subject, convention = understood(subject, task, scores, kind, classes)
        _compare_tasks(like, convention)
        equals, difference = _identify(subject.fresh(), convention, like, statement)
        known = like or (equals.loss if equals is not None and not equals.change else None)
        subject = dataclasses.replace(subject, like=known)
    scenes = None if convention is None else Scenes(subject, convention)
    sources = [source for source in (scenes, draws) if source is not None]
    findings: list[Finding] = [] if difference is None else [difference]
    passed: list[str] = []
    not_asked = [claim.name for claim in CLAIMS if subject.framework not in claim.frameworks]
    unfinished: list[str] = []
    without_gradients = _without_gradients(subject, sources[0].one())
    if without_gradients:
        not_asked += [claim.name for claim in CLAIMS if claim.slope and claim.name not in not_asked]
    chosen = [claim for claim in CLAIMS if claim.name not in not_asked]
    for number, claim in enumerate(chosen):
        if progress is not None:
            progress(claim.name, number, len(chosen))
        if time.monotonic() - start > seconds:
            unfinished.append(claim.name)
            continue
        ask = Asking(claim)
        failure = first_failure(ask, sources, start + seconds)
        if failure is not None:
            trial, violation = failure
            shown = trial if violation.batch is None else dataclasses.replace(trial, batch=violation.batch)
            shows = claim.shows if violation.shows is None else violation.shows
            findings.append(
                Finding(
                    claim.key,
                    claim.name,
                    claim.fails,
                    claim.severity,
                    violation.words,
                    claim.means,
                    short(shown),
                    code(shown, statement, shows, violation.dtype),
                )
            )
        elif time.monotonic() - start > seconds:  # it was cut short
            unfinished.append(claim.name)
        else:
            (passed if ask.asked else not_asked).append(claim.name)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Report(
        subject.name,
        _words(convention),
        "" if equals is None else str(equals),
        tuple(findings),
        tuple(passed),
        tuple(not_asked),
        tuple(unfinished),
        time.monotonic() - start,
        without_gradients,
    )


def _without_gradients(subject: Subject, trial: Trial) -> str:
    """Why no gradient can be looked at; empty where they can be."""
    if subject.framework == "numpy":
        return "NumPy has none"
    try:
        attached = not subject.differentiable or subject.fresh().run(trial.batch).attached
    except Exception as error:
        return f"{type(error).__name__}: {first_line(error)}"
    return "" if attached else "the result is cut off from the prediction"


def _words(convention: Convention | None) -> str:
    if convention is None:
        return "what its class declares"
    return f"{convention.task}: {convention}" if convention.of_places else str(convention)


def _compare_tasks(like: Loss | None, convention: Convention) -> None:
    meant = getattr(like, "task", None)
    if meant is None or meant == convention.kind or (meant, convention.kind) == ("multilabel", "multiclass"):
        return  # multilabel with one label a place: each class against the rest
    raise ValueError(
        f"`like` is {like!r}, and the loss was understood as {convention.kind} ({convention}); give `like` the task "
        f"{convention.kind!r}, or say with `kind` that the loss is {meant}"
    )


def _identify(
    subject: Subject, convention: Convention, like: Loss | None, statement: str
) -> tuple[nearest.Match | None, Finding | None]:
    """The loss of the catalogue that the subject is, and a finding where it should be another."""
    if like is None:
        return nearest.find(subject, convention), None
    difference = nearest.equals(subject, convention, like)
    if difference is None:
        return nearest.Match(like), None
    explanation = nearest.explain(subject, convention, like)
    words = difference if explanation is None else f"{difference}. It equals {explanation}"
    trial = Trial.of(subject, convention, random_scene(convention, 1000, small=True))
    finding = Finding(
        EQUALS,
        f"it equals {like!r}",
        f"it does not equal {like!r}",
        "wrong value",
        words,
        "results do not compare with those of the paper, and tuned options mean something else",
        short(trial),
        code(trial, statement),
    )
    return explanation, finding
