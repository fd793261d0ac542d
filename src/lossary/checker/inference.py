"""Which convention a loss has: asked, where the user says so, and otherwise tried."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from typing import Any

import numpy as np

from lossary.checker import nearest
from lossary.checker.engines import Dtype, narrowest
from lossary.checker.loading import with_third
from lossary.checker.scenes import CLASSES, Convention, Scene, Task, conventions, random_scene
from lossary.checker.subject import Subject, Trial
from lossary.core.families import BoxLoss, ClassificationLoss, PointwiseLoss
from lossary.core.families.classification import ProbabilityLoss
from lossary.core.families.pointwise import REALS
from lossary.core.loss import Loss

SEEDS = (0, 1, 2)

COUNTS = (2, *range(4, 33), 40, 59, 60, 64, 80, 81, 90, 91, 100, 101, 128, 133, 150, 151, 171, 200, 256, 365, 512, 1000)
"""Numbers of classes that are tried for a loss that does not take three: small ones, and those of known data sets."""


class NotUnderstoodError(ValueError):
    """No known convention fits; the message lists what was tried and how it failed."""


@dataclasses.dataclass(frozen=True)
class Attempt:
    """How a loss took one convention."""

    convention: Convention
    failure: str | None  # why it is none, in words
    dtype: Dtype = "float64"  # the widest that it took
    sensible: bool = False  # whether the truth was better than any other guess
    warned: bool = False  # whether the loss warned: of shapes that do not match, of an option that it leaves out
    breaks: bool = False  # whether it is NaN or infinite at the truth, and nowhere else

    @property
    def fits(self) -> bool:
        return self.sensible or self.breaks


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


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the user says of the convention; None is to be found out."""

    task: Task | None = None
    scores: str | None = None
    kind: str | None = None
    classes: int | None = None

    def conventions(self, classes: int | None) -> list[Convention]:
        """Those that fit, for a number of classes; without a number, those of any."""
        chosen = [
            c
            for c in conventions(self.task)
            if (self.scores in (None, c.scores) or c.scores == "plain") and self.kind in (None, c.kind)
        ]
        if classes is None:
            return chosen
        return [dataclasses.replace(c, classes=classes) for c in chosen if c.kind in ("multiclass", "multilabel")]


def infer(subject: Subject, wanted: Wanted) -> Attempt:
    """The convention under which the loss accepts scenes without a warning and likes the truth best, or is NaN at
    nothing but the truth; of several the first under which it equals a loss of the catalogue, or else the first.

    Failing that, one of which it warns; where it makes sense of none, the first that it accepts: then the claims about
    its meaning will say what is wrong.
    """
    attempts = [attempt(subject, c) for c in wanted.conventions(wanted.classes)]
    if wanted.classes is None and not any(a.fits for a in attempts):
        attempts = _counted(subject, wanted) or attempts
    for fits in ([a for a in attempts if a.fits and not a.warned], [a for a in attempts if a.fits]):
        if fits:
            return _bounded(subject, _recognised(subject, fits))
    accepted = [a for a in attempts if a.failure is None]
    if not accepted:
        raise NotUnderstoodError(_refusal(subject, attempts))
    return accepted[0]


def _refusal(subject: Subject, attempts: list[Attempt]) -> str:
    by_failure: dict[str, list[str]] = {}
    for a in attempts:
        by_failure.setdefault(str(a.failure), []).append(str(a.convention))
    tried = "; ".join(
        f"{failure} for {kinds[0]}" + (f" and {len(kinds) - 1} others" if len(kinds) > 1 else "")
        for failure, kinds in by_failure.items()
    )
    return (
        f"{subject.name} accepts no known kind of prediction and target. It gave {tried}. If it needs other arguments, "
        "wrap it in a function of two; if it was made for a number of classes, say which with `classes`."
    )


def _counted(subject: Subject, wanted: Wanted) -> list[Attempt]:
    """Attempts at the first number of classes, other than three, that makes sense to the loss."""
    for count in dict.fromkeys((*_hints(subject), *COUNTS)):
        attempts = [attempt(subject, c) for c in wanted.conventions(count) if _accepts(subject, c)]
        if any(a.fits for a in attempts):
            return attempts
    return []


def _accepts(subject: Subject, convention: Convention) -> bool:
    """Whether a small scene raises nothing."""
    batch = convention.render(random_scene(convention, 0, small=True))
    for dtype in ("float64", "float32"):
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            subject.value(batch, dtype)
            return True
    return False


def _hints(subject: Subject) -> list[int]:
    """Numbers of classes that the attributes of a loss speak of: the lengths of its weights, and counts by name."""
    owned: dict[str, Any] = dict(getattr(subject.owner, "__dict__", {}))
    owned |= owned.get("_buffers") or {}
    lengths = [x.shape[0] for x in owned.values() if len(getattr(x, "shape", ())) == 1]
    lengths += [len(x) for x in owned.values() if isinstance(x, (list, tuple))]  # pyright: ignore[reportUnknownArgumentType]
    named = [x for name, x in owned.items() if "class" in name and isinstance(x, int) and not isinstance(x, bool)]
    return [n for n in (*named, *lengths) if 2 <= n <= 10_000]


def _recognised(subject: Subject, fits: list[Attempt]) -> Attempt:
    """The first reading under which the loss is one of the catalogue, by its defaults; else the first. Of one kind only
    the first is asked: where probabilities and logits both fit, a loss of logits is what is meant."""
    distinct = list({a.convention.kind: a for a in reversed(fits)}.values())
    if len(distinct) > 1:
        for a in sorted(distinct, key=fits.index):
            if nearest.find(reading(subject, a), a.convention, by_defaults=True) is not None:
                return a
    return fits[0]


def _bounded(subject: Subject, found: Attempt) -> Attempt:
    """With the number of classes, where the loss does not take one more."""
    convention = found.convention
    if convention.kind not in ("multiclass", "multilabel"):
        return found
    count = convention.classes or CLASSES
    more = attempt(subject, dataclasses.replace(convention, classes=count + 1))
    bound = None if more.failure is None else count
    return dataclasses.replace(found, convention=dataclasses.replace(convention, classes=bound))


def reading(subject: Subject, found: Attempt) -> Subject:
    """The subject as it is called under a convention: in the dtype that it takes, and with a third argument, where that
    has one."""
    subject = dataclasses.replace(subject, widest=found.dtype)
    return with_third(subject) if found.convention.role else subject


def understood(
    subject: Subject,
    task: Task | None = None,
    scores: str | None = None,
    kind: str | None = None,
    classes: int | None = None,
) -> tuple[Subject, Convention]:
    """A subject with its convention and its digits."""
    found = infer(subject.fresh(), Wanted(task, scores, kind, classes))
    subject, convention = reading(subject, found), found.convention
    if classes is not None and convention.kind in ("multiclass", "multilabel"):
        convention = dataclasses.replace(convention, classes=classes)
    if subject.framework != "torch":
        return subject, convention
    batch = convention.render(random_scene(convention, 0))
    return dataclasses.replace(subject, computes=narrowest(subject.fresh().call, batch, subject.widest)), convention


def attempt(subject: Subject, convention: Convention) -> Attempt:
    """Three ordinary scenes in a convention; in float32, where the loss refuses float64."""
    found = Attempt(convention, "was not tried")
    for dtype in ("float64", "float32"):
        found = _attempt(dataclasses.replace(subject, widest=dtype), Attempt(convention, None, dtype))
        if found.failure is None:
            break
    return found


def _attempt(subject: Subject, asked: Attempt) -> Attempt:
    """Accepted at all, and the truth better than a random and a wrong guess?"""
    convention = asked.convention
    subject = reading(subject, asked)
    sensible, warned, breaks = True, False, False

    def failed(words: str) -> Attempt:
        return dataclasses.replace(asked, failure=words)

    for seed in SEEDS:
        scene = random_scene(convention, seed)
        try:
            with warnings.catch_warnings(record=True) as given:
                warnings.simplefilter("always")
                value, worst, *right = (
                    Trial.of(subject, convention, s).value() for s in (scene, scene.wrong(), *scene.right())
                )
                shape = subject.run(convention.render(scene), "float32").number.shape
                sensible &= not convention.role or _hears(subject, convention, scene)
        except Exception as error:
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            return failed(f"{type(error).__name__}: {first[:80]}")
        if not np.isfinite([value, worst]).all():
            return failed("gives NaN or infinity")
        if len(shape) > scene.guess.ndim:
            return failed(f"gives a result of shape {shape}")
        breaks |= not np.isfinite(right).all()
        sensible &= not breaks and min(right) < min(value, worst)
        warned |= any(issubclass(warning.category, UserWarning) for warning in given)
    if convention.role and not sensible:
        return failed("makes no sense")
    return dataclasses.replace(asked, sensible=sensible, warned=warned, breaks=breaks)


def _hears(subject: Subject, convention: Convention, scene: Scene) -> bool:
    """Whether the third argument means what its role says: a guess costs more where it is contradicted, and every row
    of vectors costs more where it is wrong."""

    def value(s: Scene) -> float:
        return Trial.of(subject, convention, s).value()

    plain = scene if convention.role == "variance" else scene.perfect()
    least = value(plain)
    if convention.role in ("sign", "flag", "flag of unlike"):
        rows = np.eye(len(plain.guess), dtype=bool)
        spoiled = (np.where(row[:, None], plain.wrong().guess, plain.guess) for row in rows)
        if any(value(dataclasses.replace(plain, guess=guess)) <= least for guess in spoiled):
            return False
    if convention.role == "order":  # which of the two stands first does not matter
        turned = dataclasses.replace(plain.contradicted(), guess=plain.truth, truth=plain.guess)
        if not np.isclose(value(turned), least, atol=1e-6):
            return False
    return value(plain.contradicted()) > least
