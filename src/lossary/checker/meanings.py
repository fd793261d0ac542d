"""Claims about what a loss means: it is least for the truth, grows with the error, teaches where it is wrong. They
need the scene behind the arrays."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lossary.checker.claims import EVERYWHERE, TORCH, NotAskedError, Violation, apart, claim, near, precision
from lossary.checker.engines import Batch
from lossary.checker.scenes import SURE, Scene, random_scene
from lossary.checker.subject import Trial

Array = np.ndarray[Any, Any]


def _truth(trial: Trial, scene: Scene) -> Scene:
    """The truth as a guess, with the certainty that the loss likes best."""
    return min(scene.right(), key=lambda right: trial.value_of(right))


# --- direction -------------------------------------------------------------------------------------------------------


@claim(
    "no guess is better than the truth",
    "another guess is better than the truth",
    "wrong value",
    "the model learns something else than the labels",
    frameworks=EVERYWHERE,
    examples=15,
)
def truth_is_best(trial: Trial) -> str | Violation | None:
    """Against the guess of the trial and a wrong one. (Of vectors none is the truth: they are held against others.)"""
    scene = trial.scene
    if scene is None or scene.kind == "pairs":
        raise NotAskedError
    truth = _truth(trial, scene)
    least = trial.value_of(truth)
    others = {"this guess": scene, "a guess that is wrong everywhere": scene.wrong()}
    for words, other in others.items():
        if other.all_right:  # only less sure, and label smoothing wants it so
            continue
        value = trial.value_of(other)
        if value < least - 1e-5 * max(1.0, abs(least)):
            dear, cheap = apart(least, value)
            words = f"the truth as prediction costs {dear}, {words} only {cheap}"
            return Violation(words, trial.with_scene(truth).batch)
    return None


@claim(
    "the loss grows with the error",
    "the loss falls while the error grows",
    "wrong gradient",
    "the gradient points away from the truth for some samples",
    frameworks=EVERYWHERE,
    examples=10,
)
def monotone(trial: Trial) -> str | Violation | None:
    """On the straight way from the truth to a wrong answer. (Distances to a thresholded guess jump on the way.)"""
    scene = trial.scene
    if scene is None or scene.kind == "pairs" or trial.subject.forgives:
        raise NotAskedError
    if trial.of_places and _looks_at_neighbours(trial):
        raise NotAskedError
    start, end = _truth(trial, scene), scene.wrong()
    shares = np.linspace(0.0, 1.0, 9)
    values = [trial.value_of(start.towards(end, float(share))) for share in shares]
    for a, b, before, after in zip(shares, shares[1:], values, values[1:], strict=False):
        if after < before - 1e-5 * max(1.0, abs(before)):
            way = f"from {a:.0%} to {b:.0%} of the way from the truth to a wrong answer"
            high, low = apart(before, after)
            return f"{way} it falls from {high} to {low}"
    return None


@claim(
    "a sure and wrong answer still teaches",
    "a sure and wrong answer teaches nothing",
    "wrong gradient",
    "samples that are wrong with confidence are never corrected",
    examples=5,
    slope=True,
)
def teaches(trial: Trial) -> str | Violation | None:
    """Where the loss still grows with a logit, its gradient must not be lost. (A loss of probabilities that is bounded,
    such as Dice, is flat there by nature, and its value says so.)"""
    if not trial.of_places or not trial.subject.differentiable or trial.convention is None or trial.scene is None:
        raise NotAskedError
    if trial.convention.scores != "logits":
        raise NotAskedError
    wrong = trial.scene.wrong()
    scenes = [dataclasses.replace(wrong, guess=factor * wrong.guess) for factor in (0.25, 0.5, 1.0, 2.0)]
    values = [trial.value_of(scene) for scene in scenes]  # at logits of ±5, ±10, ±20 and ±40
    growth = np.diff(values)
    if growth[0] <= 0.1 * values[1]:
        raise NotAskedError  # bounded, where a log-likelihood doubles
    gradient = trial.subject.run(trial.convention.render(scenes[-1]), precision(trial)).gradient
    assert gradient is not None
    size = float(np.abs(gradient).max(initial=0))
    if size < 1e-6 or growth[-1] < 0.1 * growth[0]:
        words = f"at logits of ±{2 * SURE:g} against the truth the gradient is {size:.2g}, and the value stands still"
        return Violation(words, trial.convention.render(scenes[-1]))
    return None


@claim(
    "a sure and right answer costs next to nothing",
    "a sure and right answer is expensive",
    "wrong value",
    "scores go through a second softmax, or probabilities stand where logits belong: the loss cannot come down",
    frameworks=EVERYWHERE,
    examples=1,
)
def floor(trial: Trial) -> str | Violation | None:
    """Where the loss falls with certainty to the end, that end is its least value, and should be far below that of a
    guess that knows nothing. (Label smoothing has its least value before the end, and is no fault.)"""
    scene = trial.scene
    if scene is None or not trial.of_places or trial.subject.ours:  # ours: their values are those of the formula
        raise NotAskedError
    right = scene.perfect()
    values = [trial.value_of(dataclasses.replace(right, guess=share * right.guess)) for share in np.linspace(0, 1, 11)]
    unsure, least = values[0], values[-1]
    if least > min(values) + 1e-3 * abs(unsure - least) or least < 0.15 * unsure:
        return None
    words = f"a guess that knows nothing costs {unsure:.4g}, the truth itself {least:.4g}, and nothing costs less"
    return Violation(words, trial.with_scene(right).batch)


@claim(
    "the gradient pulls every place towards its label",
    "the gradient pushes a place away from its label",
    "wrong gradient",
    "answers that are right, but not yet sure, are pushed back",
    examples=10,
    slope=True,
)
def pull(trial: Trial) -> str | Violation | None:
    """At a guess that is right everywhere, here more and there less. A loss of neighbourhoods (skeletons, windows) is
    not asked: there one place may have to give way for another."""
    convention, scene = trial.convention, trial.scene
    if convention is None or scene is None or not trial.of_places or not trial.subject.differentiable:
        raise NotAskedError
    margin = 0.5 + np.abs(scene.guess) % 1.25  # short of where label smoothing holds back
    if scene.kind == "multiclass":
        margin = margin.max(1, keepdims=True)
    right = dataclasses.replace(scene, guess=scene.perfect().guess / SURE * margin)
    here = trial.with_scene(right)
    if trial.value_of(scene.wrong()) <= here.value() or _looks_at_neighbours(trial):
        raise NotAskedError
    gradient = trial.subject.run(here.batch, precision(trial)).gradient
    assert gradient is not None
    towards = np.sign(_direction(trial, right))
    against = gradient * towards
    if float(against.max()) > 1e-3 * float(np.abs(gradient).max()):
        place = tuple(int(i) for i in np.unravel_index(int(against.argmax()), against.shape))
        words = f"at {list(place)} the guess is right, and the gradient of {gradient[place]:.3g} pushes it back"
        return Violation(words, here.batch)
    return None


@claim(
    "every place that is not ignored has an influence",
    "a place has no influence",
    "wrong gradient",
    "nothing is learned there: an axis is cut, shifted or forgotten",
    frameworks=EVERYWHERE,
    examples=1,
)
def influence(trial: Trial) -> str | Violation | None:
    """A right answer and a wrong one, there and nowhere else: in an ordinary guess, in one that is right elsewhere and
    in one that is wrong elsewhere, because the best or the worst places alone may count. Numbers of vectors and boxes
    count as rows. Where there is no scene, another prediction of a whole sample must change the value."""
    if trial.subject.forgives:  # a wrong answer may cost what the right one does
        raise NotAskedError
    if trial.scene is None:
        return _silent_sample(trial)
    scene, digits = trial.scene, 1e-9 if precision(trial) == "float64" else 1e-6
    right, wrong = scene.perfect(), scene.wrong()
    answers = [right, wrong]
    if scene.kind == "multiclass" and scene.classes > 2:  # two classes may cost the same
        answers.append(dataclasses.replace(wrong, guess=np.roll(wrong.guess, 1, axis=1)))
    for place in np.ndindex(scene.truth.shape[:1] if scene.kind in ("boxes", "pairs") else scene.truth.shape):
        if scene.kind != "values" and np.all(scene.truth[place] == trial.subject.ignore_index):
            continue
        at = (place[0], slice(None), *place[1:]) if scene.kind == "multiclass" else place

        def moved(base: Scene, answer: Scene, at: Any = at) -> Scene:
            guess = base.guess.copy()
            guess[at] = answer.guess[at]
            return dataclasses.replace(scene, guess=guess)

        values = np.array([[trial.value_of(moved(base, a)) for a in answers] for base in (scene, right, wrong)])
        if (np.ptp(values, axis=1) <= digits * np.maximum(1.0, np.abs(values[:, 0]))).all():
            there, shows = _where(trial, moved(scene, right), moved(scene, wrong))
            return Violation(f"{there}: a right answer and a wrong one there give the same value", shows=shows)
    return None


def _where(trial: Trial, right: Scene, wrong: Scene) -> tuple[str, str]:
    """The place at which two scenes differ, in words, and code that gives the one and the other answer there."""
    a, b = (trial.with_scene(scene).batch.prediction for scene in (right, wrong))
    numbers = np.argwhere(a != b)
    flat = np.flatnonzero(a != b)
    spans = [
        f"{low}" if low == high else f"{low}:{high + 1}"
        for low, high in zip(numbers.min(0), numbers.max(0), strict=True)
    ]
    shows = "".join(
        f"prediction.view(-1)[{flat.tolist()}] = torch.tensor({[round(x, 6) for x in answer.ravel()[flat].tolist()]})\n"
        "print(loss(prediction, target))\n"
        for answer in (a, b)
    )
    return f"prediction[{', '.join(spans)}] counts for nothing", shows.rstrip()


def _silent_sample(trial: Trial) -> str | None:
    """A sample in whose prediction other numbers, turned or moved along its axes, leave the value as it is."""
    batch = trial.batch
    here = trial.value()
    for sample in range(len(batch.prediction)):
        own = batch.prediction[sample]
        others = [np.roll(own, shift) for shift in range(1, min(own.size, 5))] + [-own, 2 * own, -9 * own]
        values: list[float] = []
        for other in others:
            prediction = batch.prediction.copy()
            prediction[sample] = other
            try:
                values.append(trial.subject.value(batch.with_prediction(prediction)))
            except ValueError:  # outside the domain
                continue
        if all(value == here for value in values):
            return f"whatever is predicted for sample {sample}, the value is {here:.6g}"
    return None


def _looks_at_neighbours(trial: Trial) -> bool:
    """Whether the value changes when the places of each sample are put in another order, their labels with them."""
    assert trial.convention is not None
    scene = random_scene(trial.convention, 0)

    def move(x: Array, leading: int) -> Array:
        flat = x.reshape(*x.shape[:leading], -1)
        return flat[..., np.random.default_rng(0).permutation(flat.shape[-1])].reshape(x.shape)

    guess = move(scene.guess, 1 if scene.kind == "binary" else 2)
    truth = move(scene.truth, 2 if scene.kind == "multilabel" else 1)
    return not near(trial.value_of(dataclasses.replace(scene, guess=guess, truth=truth)), trial.value_of(scene), 1e-5)


def _direction(trial: Trial, scene: Scene) -> Array:
    """In the layout of the prediction: 1 where a score should rise for the label of its place, -1 where it should fall,
    0 at the scores of other classes, which one place may weigh against another."""
    assert trial.convention is not None
    bare = dataclasses.replace(trial.convention, scores="logits")
    signs = scene.perfect().guess / SURE
    if scene.kind == "multiclass":
        signs = np.maximum(signs, 0.0)
    return bare.render(dataclasses.replace(scene, guess=signs)).prediction


@claim(
    "classes are told apart by nothing but their labels",
    "classes are told apart by their numbers",
    "wrong value",
    "some classes are learned worse than others, by their number",
    frameworks=EVERYWHERE,
    examples=10,
)
def class_numbers(trial: Trial) -> str | Violation | None:
    """Other numbers for the same classes; class 0 keeps its own, because it may be the background."""
    scene = trial.scene
    if scene is None or scene.kind != "multiclass" or scene.classes < 3 or _has_class_options(trial):
        raise NotAskedError
    old = np.arange(scene.classes)
    new = np.concatenate([[0], old[:0:-1]])
    renamed = dataclasses.replace(scene, guess=scene.guess[:, np.argsort(new)], truth=new[scene.truth])
    a, b = trial.value_of(scene), trial.value_of(renamed)
    if near(b, a, 1e-5):
        return None
    first, second = apart(a, b)
    return f"it is {first}, and {second} when the classes other than 0 change their numbers"


def _has_class_options(trial: Trial) -> bool:
    """Whether the loss was given numbers by class, which then belong to their numbers; one that was made for a number
    of classes was."""
    if trial.convention is not None and trial.convention.classes is not None:
        return True
    like = trial.subject.like
    owner = trial.subject.owner if like is None else like
    values = vars(owner).values() if hasattr(owner, "__dict__") else ()
    return any(isinstance(v, (tuple, list)) or (hasattr(v, "shape") and v.shape and v.shape[0] > 1) for v in values)


# --- shapes and labels -----------------------------------------------------------------------------------------------


@claim(
    "shapes that do not match are refused",
    "shapes that do not match are taken",
    "fragile",
    "a missing squeeze trains a wrong model in silence: every prediction is compared with every target",
    frameworks=EVERYWHERE,
    examples=1,
)
def no_broadcasting(trial: Trial) -> str | Violation | None:
    """A prediction of shape (N, 1) against a target of (N,), and the reverse."""
    convention = trial.convention
    if convention is None or convention.kind not in ("values", "binary") or convention.task == "segmentation":
        raise NotAskedError
    if convention.role:
        raise NotAskedError
    flat = trial.batch.prediction.reshape(-1)[:8]
    truth = np.resize(trial.batch.target.reshape(-1), flat.shape)
    for p, t in ((flat[:, None], truth), (flat, truth[:, None])):
        if p.shape[0] < 2:
            raise NotAskedError
        try:
            value = trial.subject.value(Batch(p, t))
        except Exception:
            continue
        if near(value, trial.subject.value(Batch(flat, truth)), 1e-5):
            continue  # one of the two is reshaped to the other
        words = f"a prediction of shape {p.shape} and a target of {t.shape} give {value:.5g} and no error"
        return Violation(words, Batch(p, t))
    return None


@claim(
    "a label that is no class is refused",
    "a label that is no class is taken",
    "fragile",
    "a mask stored as 0 and 255, or one class too few, trains on nonsense; on a GPU it ends the process",
    frameworks=TORCH,
    examples=3,
)
def labels_in_range(trial: Trial) -> str | Violation | None:
    convention, scene = trial.convention, trial.scene
    if convention is None or scene is None or not trial.of_places or convention.target == "one-hot":
        raise NotAskedError
    from lossary.core.contract import checked

    stray = max(255, scene.classes)
    stray += trial.subject.ignore_index == stray
    batch = trial.batch
    target = batch.target.copy()
    target.flat[0] = stray
    try:
        with checked():  # ours look at values on request; elsewhere this changes nothing
            value = trial.subject.value(Batch(batch.prediction, target))
    except Exception:
        return None
    words = f"the label {stray} among 0 to {scene.classes - 1} gives {value:.5g} and no error"
    return Violation(words, Batch(batch.prediction, target))


@claim(
    "labels keep their digits",
    "labels lose their digits",
    "wrong value",
    "with many classes and half precision the loss trains on the wrong class",
    examples=1,
)
def labels_exact(trial: Trial) -> str | Violation | None:
    """Class 257 is no number of bfloat16, nor is 2049 of float16."""
    convention = trial.convention
    if convention is None or convention.kind != "multiclass" or convention.target != "labels":
        raise NotAskedError
    if trial.scene is None or convention.classes is not None or _has_class_options(trial):
        raise NotAskedError
    extent = (1,) * (trial.scene.truth.ndim - 1)

    def rightly_predicted(label: int) -> Batch:
        guess = np.zeros((1, 300, *extent))
        guess[0, label] = 20.0
        return convention.render(Scene("multiclass", guess, np.full((1, *extent), label)))

    batch = rightly_predicted(257)
    try:
        value, usual = (trial.subject.value(b, "bfloat16") for b in (batch, rightly_predicted(2)))
    except Exception:
        raise NotAskedError from None  # half precision is refused, which another claim says
    if not near(value, usual, 1e-2):
        words = f"in bfloat16 label 257 of 300, rightly predicted, costs {value:.4g}, label 2 {usual:.4g}"
        return Violation(words, batch, "bfloat16")
    return None
