"""Claims about what a loss means: it is least for the truth, grows with the error, teaches where it is wrong, and
leaves out what it is told to. They need the scene behind the arrays."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lossary.checker.claims import EVERYWHERE, TORCH, Violation, claim, first_line, near, precision
from lossary.checker.engines import Batch
from lossary.checker.scenes import SURE, Scene, random_scene
from lossary.checker.subject import Trial

Array = np.ndarray[Any, Any]


def _value(trial: Trial, scene: Scene) -> float:
    return trial.with_scene(scene).value()


def _truth(trial: Trial, scene: Scene) -> Scene:
    """The truth as a guess, with the certainty that the loss likes best."""
    return min(scene.right(), key=lambda right: _value(trial, right))


def _of_places(trial: Trial) -> bool:
    return trial.convention is not None and trial.convention.of_places


# --- direction -------------------------------------------------------------------------------------------------------


@claim(
    "no guess is better than the truth",
    "wrong value",
    "the model learns something else than the labels",
    frameworks=EVERYWHERE,
    examples=15,
)
def truth_is_best(trial: Trial) -> str | Violation | None:
    """Against the guess of the trial and a wrong one. (Of vectors none is the truth: they are held against others.)"""
    scene = trial.scene
    if scene is None or scene.kind == "pairs":
        return None
    truth = _truth(trial, scene)
    least = _value(trial, truth)
    others = {"this guess": scene, "a guess that is wrong everywhere": scene.wrong()}
    for words, other in others.items():
        if other.all_right:  # only less sure, and label smoothing wants it so
            continue
        value = _value(trial, other)
        if value < least - 1e-5 * max(1.0, abs(least)):
            words = f"the truth as prediction costs {least:.6g}, {words} only {value:.6g}"
            return Violation(words, trial.with_scene(truth).batch)
    return None


@claim(
    "the loss grows with the error",
    "wrong gradient",
    "the gradient points away from the truth for some samples",
    frameworks=EVERYWHERE,
    examples=10,
)
def monotone(trial: Trial) -> str | Violation | None:
    """On the straight way from the truth to a wrong answer. (Distances to a thresholded guess jump on the way.)"""
    scene = trial.scene
    if scene is None or scene.kind == "pairs" or trial.subject.forgives:
        return None
    if _of_places(trial) and _looks_at_neighbours(trial):
        return None
    start, end = _truth(trial, scene), scene.wrong()
    shares = np.linspace(0.0, 1.0, 9)
    values = [_value(trial, start.towards(end, float(share))) for share in shares]
    for a, b, before, after in zip(shares, shares[1:], values, values[1:], strict=False):
        if after < before - 1e-5 * max(1.0, abs(before)):
            way = f"from {a:.0%} to {b:.0%} of the way from the truth to a wrong answer"
            return f"{way} it falls from {before:.5g} to {after:.5g}"
    return None


@claim(
    "a sure and wrong answer still teaches",
    "wrong gradient",
    "samples that are wrong with confidence are never corrected",
    examples=5,
)
def teaches(trial: Trial) -> str | Violation | None:
    """Where the loss still grows with a logit, its gradient must not be lost. (A loss of probabilities that is bounded,
    such as Dice, is flat there by nature, and its value says so.)"""
    if not _of_places(trial) or not trial.subject.differentiable or trial.convention is None or trial.scene is None:
        return None
    if trial.convention.scores != "logits":
        return None
    wrong = trial.scene.wrong()
    scenes = [dataclasses.replace(wrong, guess=factor * wrong.guess) for factor in (0.25, 0.5, 1.0, 2.0)]
    values = [_value(trial, scene) for scene in scenes]  # at logits of ±5, ±10, ±20 and ±40
    growth = np.diff(values)
    if growth[0] <= 0.1 * values[1]:
        return None  # bounded, where a log-likelihood doubles
    gradient = trial.subject.run(trial.convention.render(scenes[-1]), precision(trial)).gradient
    assert gradient is not None
    size = float(np.abs(gradient).max(initial=0))
    if size < 1e-6 or growth[-1] < 0.1 * growth[0]:
        words = f"at logits of ±{2 * SURE:g} against the truth the gradient is {size:.2g}, and the value stands still"
        return Violation(words, trial.convention.render(scenes[-1]))
    return None


@claim(
    "a sure and right answer costs next to nothing",
    "wrong value",
    "scores go through a second softmax, or probabilities stand where logits belong: the loss cannot come down",
    frameworks=EVERYWHERE,
    examples=1,
)
def floor(trial: Trial) -> str | Violation | None:
    """Where the loss falls with certainty to the end, that end is its least value, and should be far below that of a
    guess that knows nothing. (Label smoothing has its least value before the end, and is no fault.)"""
    scene = trial.scene
    if scene is None or not _of_places(trial) or trial.subject.ours:  # ours: their values are those of the formula
        return None
    right = scene.perfect()
    values = [_value(trial, dataclasses.replace(right, guess=share * right.guess)) for share in np.linspace(0, 1, 11)]
    unsure, least = values[0], values[-1]
    if least > min(values) + 1e-3 * abs(unsure - least) or least < 0.15 * unsure:
        return None
    words = f"a guess that knows nothing costs {unsure:.4g}, the truth itself {least:.4g}, and nothing costs less"
    return Violation(words, trial.with_scene(right).batch)


@claim(
    "the gradient pulls every place towards its label",
    "wrong gradient",
    "answers that are right, but not yet sure, are pushed back",
    examples=10,
)
def pull(trial: Trial) -> str | Violation | None:
    """At a guess that is right everywhere, here more and there less. A loss of neighbourhoods (skeletons, windows) is
    not asked: there one place may have to give way for another."""
    convention, scene = trial.convention, trial.scene
    if convention is None or scene is None or not _of_places(trial) or not trial.subject.differentiable:
        return None
    margin = 0.5 + np.abs(scene.guess) % 1.25  # short of where label smoothing holds back
    if scene.kind == "multiclass":
        margin = margin.max(1, keepdims=True)
    right = dataclasses.replace(scene, guess=scene.perfect().guess / SURE * margin)
    here = trial.with_scene(right)
    if _value(trial, scene.wrong()) <= here.value() or _looks_at_neighbours(trial):
        return None
    gradient = trial.subject.run(here.batch, precision(trial)).gradient
    assert gradient is not None
    towards = np.sign(_direction(trial, right))
    against = gradient * towards
    if float(against.max()) > 1e-3 * float(np.abs(gradient).max()):
        place = tuple(int(i) for i in np.unravel_index(int(against.argmax()), against.shape))
        words = f"at {list(place)} the guess is right, and the gradient of {gradient[place]:.3g} pushes it back"
        return Violation(words, here.batch)
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
    return not near(_value(trial, dataclasses.replace(scene, guess=guess, truth=truth)), _value(trial, scene), 1e-5)


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
    "wrong value",
    "some classes are learned worse than others, by their number",
    frameworks=EVERYWHERE,
    examples=10,
)
def class_numbers(trial: Trial) -> str | Violation | None:
    """Other numbers for the same classes; class 0 keeps its own, because it may be the background."""
    scene = trial.scene
    if scene is None or scene.kind != "multiclass" or scene.classes < 3 or _has_class_options(trial):
        return None
    old = np.arange(scene.classes)
    new = np.concatenate([[0], old[:0:-1]])
    renamed = dataclasses.replace(scene, guess=scene.guess[:, np.argsort(new)], truth=new[scene.truth])
    a, b = _value(trial, scene), _value(trial, renamed)
    return (
        None if near(b, a, 1e-5) else f"it is {a:.6g}, and {b:.6g} when the classes other than 0 change their numbers"
    )


def _has_class_options(trial: Trial) -> bool:
    """Whether the loss was given numbers by class, which then belong to their numbers."""
    like = trial.subject.like
    owner = trial.subject.owner if like is None else like
    values = vars(owner).values() if hasattr(owner, "__dict__") else ()
    return any(isinstance(v, (tuple, list)) or (hasattr(v, "shape") and v.shape and v.shape[0] > 1) for v in values)


# --- shapes and labels -----------------------------------------------------------------------------------------------


@claim(
    "shapes that do not match are refused",
    "fragile",
    "a missing squeeze trains a wrong model in silence: every prediction is compared with every target",
    frameworks=EVERYWHERE,
    examples=1,
)
def no_broadcasting(trial: Trial) -> str | Violation | None:
    """A prediction of shape (N, 1) against a target of (N,), and the reverse."""
    convention = trial.convention
    if convention is None or convention.kind not in ("values", "binary") or convention.task == "segmentation":
        return None
    flat = trial.batch.prediction.reshape(-1)[:8]
    truth = np.resize(trial.batch.target.reshape(-1), flat.shape)
    for p, t in ((flat[:, None], truth), (flat, truth[:, None])):
        if p.shape[0] < 2:
            return None
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
    "fragile",
    "a mask stored as 0 and 255, or one class too few, trains on nonsense; on a GPU it ends the process",
    frameworks=TORCH,
    examples=3,
)
def labels_in_range(trial: Trial) -> str | Violation | None:
    convention, scene = trial.convention, trial.scene
    if convention is None or scene is None or not _of_places(trial) or convention.target == "one-hot":
        return None
    from lossary.core.contract import checked

    stray = 255 if trial.subject.ignore_index != 255 else 254
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
    "wrong value",
    "with many classes and half precision the loss trains on the wrong class",
    examples=1,
)
def labels_exact(trial: Trial) -> str | Violation | None:
    """Class 257 is no number of bfloat16, nor is 2049 of float16."""
    convention = trial.convention
    if convention is None or convention.kind != "multiclass" or convention.target != "labels":
        return None
    if trial.scene is None or _has_class_options(trial):
        return None
    extent = (1,) * (trial.scene.truth.ndim - 1)

    def rightly_predicted(label: int) -> Batch:
        guess = np.zeros((1, 300, *extent))
        guess[0, label] = 20.0
        return convention.render(Scene("multiclass", guess, np.full((1, *extent), label)))

    batch = rightly_predicted(257)
    try:
        value, usual = (trial.subject.value(b, "bfloat16") for b in (batch, rightly_predicted(2)))
    except Exception:
        return None  # half precision is refused, which another claim says
    if not near(value, usual, 1e-2):
        words = f"in bfloat16 label 257 of 300, rightly predicted, costs {value:.4g}, label 2 {usual:.4g}"
        return Violation(words, batch, "bfloat16")
    return None


# --- what is left out ------------------------------------------------------------------------------------------------


def _with_ignored(trial: Trial) -> list[tuple[Trial, Array]]:
    """The trial with the last of its samples ignored, and with the last rows of every image; and what those are, as
    a mask of the places."""
    ignored = trial.subject.ignore_index
    convention, scene = trial.convention, trial.scene
    if ignored is None or convention is None or scene is None or not _of_places(trial) or len(scene.truth) < 2:
        return []
    if convention.target not in ("labels", "channel", "float") or convention.kind == "multilabel":
        return []
    masks: list[Array] = []
    for axis in (1, 0) if convention.task == "segmentation" else (0,):
        size = scene.truth.shape[axis]
        late = np.asarray(np.arange(size) >= size // 2, dtype=bool)
        masks.append(np.broadcast_to(np.expand_dims(late, tuple(range(1, scene.truth.ndim - axis))), scene.truth.shape))
    found: list[tuple[Trial, Array]] = []
    for left_out in masks:
        target = trial.batch.target.copy()
        target[left_out.reshape(target.shape)] = ignored
        found.append((dataclasses.replace(trial, batch=Batch(trial.batch.prediction, target)), left_out))
    return found


def _without(scene: Scene, left_out: Array) -> Scene:
    """The scene without the samples, or the rows, that are left out."""
    samples = ~left_out.all(axis=tuple(range(1, left_out.ndim)))
    if not samples.all():
        return dataclasses.replace(scene, guess=scene.guess[samples], truth=scene.truth[samples])
    rows = ~left_out[0].all(axis=-1)
    guess = scene.guess[:, :, rows] if scene.kind == "multiclass" else scene.guess[:, rows]
    return dataclasses.replace(scene, guess=guess, truth=scene.truth[:, rows])


@claim(
    "ignored places are not in the mean",
    "wrong value",
    "the loss depends on how much is ignored, and with it the learning rate on the padding",
    frameworks=EVERYWHERE,
    examples=5,
)
def ignored_places(trial: Trial) -> str | Violation | None:
    for spoiled, left_out in _with_ignored(trial):
        assert trial.scene is not None
        a, b = spoiled.value(), _value(trial, _without(trial.scene, left_out))
        if near(a, b, 1e-5):
            continue
        share = float(left_out.mean())
        words = f"with {share:.0%} of the places ignored it is {a:.6g}, and {b:.6g} without them"
        if b and near(a / b, 1 - share, 1e-3):
            words += " (they are counted in the denominator)"
        return Violation(words, spoiled.batch)
    return None


def _at(trial: Trial, left_out: Array) -> Array:
    """The mask of places as one of the prediction's numbers."""
    assert trial.convention is not None
    assert trial.scene is not None
    marked = left_out[:, None] if trial.scene.kind == "multiclass" else left_out
    scene = dataclasses.replace(trial.scene, guess=np.broadcast_to(marked, trial.scene.guess.shape).astype(float))
    return dataclasses.replace(trial.convention, scores="logits").render(scene).prediction > 0


@claim(
    "ignored places have no gradient",
    "wrong gradient",
    "padding moves the model",
    examples=3,
)
def ignored_gradient(trial: Trial) -> str | Violation | None:
    for spoiled, left_out in _with_ignored(trial):
        gradient = trial.subject.run(spoiled.batch, "float32").gradient
        assert gradient is not None
        size = float(np.abs(gradient[_at(trial, left_out)]).max())
        if size:
            return Violation(f"the gradient at ignored places is up to {size:.3g}", spoiled.batch)
    return None


@claim(
    "a NaN at an ignored place stays there",
    "fragile",
    "one NaN in the padding ends the run, though nobody looks at the padding",
    examples=1,
)
def ignored_nan(trial: Trial) -> str | Violation | None:
    for spoiled, left_out in _with_ignored(trial):
        prediction = spoiled.batch.prediction.copy()
        prediction[_at(trial, left_out)] = np.nan
        poisoned = spoiled.batch.with_prediction(prediction)
        outcome = trial.subject.run(poisoned, "float32")
        if not np.isfinite(outcome.number).all():
            return Violation("with NaN at the ignored places the value is NaN", poisoned)
        if outcome.gradient is None or not np.isfinite(outcome.gradient).all():
            return Violation("with NaN at the ignored places the gradient is NaN", poisoned)
    return None


@claim(
    "nothing left to average is finite",
    "fragile",
    "one image without a labelled pixel makes every weight NaN",
    examples=1,
)
def all_ignored(trial: Trial) -> str | Violation | None:
    if not _with_ignored(trial):
        return None
    target = np.full_like(trial.batch.target, trial.subject.ignore_index)
    nothing = Batch(trial.batch.prediction, target)
    outcome = trial.subject.run(nothing, "float32")
    if outcome.number.shape != trial.subject.run(trial.batch, "float32").number.shape:
        return Violation(f"everything ignored, the result has shape {outcome.number.shape}", nothing)
    if not np.isfinite(outcome.number).all():
        return Violation(f"everything ignored, it is {outcome.number.ravel()[0]}", nothing)
    if outcome.gradient is not None and not np.isfinite(outcome.gradient).all():
        return Violation("everything ignored, the gradient is not finite", nothing)
    return None


# --- images ----------------------------------------------------------------------------------------------------------


@claim(
    "half precision survives a full-size image",
    "fragile",
    "mixed precision gives NaN as soon as images are as large as in practice",
    frameworks=TORCH,
    examples=1,
)
def large_image(trial: Trial) -> str | Violation | None:
    """Sums over 512 × 512 places leave the range of float16."""
    convention, scene = trial.convention, trial.scene
    if convention is None or scene is None or convention.task != "segmentation":
        return None
    shape = (1, *([] if scene.kind == "binary" else [scene.classes]), 512, 512)
    truth = np.ones(shape if scene.kind == "multilabel" else (1, 512, 512), dtype=int)
    sure = Scene(scene.kind, np.zeros(shape), truth).perfect()
    batch = convention.render(dataclasses.replace(sure, guess=0.4 * sure.guess))
    try:
        value = trial.subject.value(batch, "float16")
    except Exception as error:
        return Violation(f"float16 raises {type(error).__name__}: {first_line(error)}", batch, "float16")
    exact = trial.subject.value(batch, "float32")
    if not np.isfinite(value) and np.isfinite(exact):
        return Violation(f"512 × 512 places in float16 give {value}, in float32 {exact:.4g}", batch, "float16")
    return None


@claim(
    "a false alarm on an empty mask teaches",
    "fragile",
    "false positives on images without an object cost the same whatever the model does: it never unlearns them",
    examples=1,
)
def empty_mask(trial: Trial) -> str | Violation | None:
    convention = trial.convention
    if convention is None or trial.scene is None or convention.task != "segmentation":
        return None
    if trial.subject.ours:  # its docstring says what `smooth` does here
        return None
    kind = trial.scene.kind
    shape = (1, 8, 8) if kind == "binary" else (1, 2, 8, 8)
    scene = Scene(kind, np.zeros(shape), np.zeros(shape if kind == "multilabel" else (1, 8, 8), dtype=int))
    if kind == "multiclass":
        scene.guess[:, 1] = 1.0
    else:
        scene.guess[:] = 1.0
    empty = convention.render(scene)
    outcome = trial.subject.run(empty, precision(trial))
    ordinary = trial.subject.run(trial.batch, precision(trial)).gradient
    assert outcome.gradient is not None
    assert ordinary is not None
    size, usual = (float(np.abs(g).sum()) for g in (outcome.gradient, ordinary))
    if size < 1e-4 * usual:
        return Violation(
            f"on an image without an object the gradient is {size:.2g} in all, elsewhere {usual:.2g}", empty
        )
    return None


@claim(
    "an image without an object, rightly seen, costs nothing",
    "wrong value",
    "the more images show nothing, the higher the loss, whatever the model does there",
    frameworks=EVERYWHERE,
    examples=1,
)
def empty_and_right(trial: Trial) -> str | Violation | None:
    """Against an image with an object, rightly and wrongly seen."""
    convention = trial.convention
    if convention is None or trial.scene is None or convention.task != "segmentation":
        return None
    kind = trial.scene.kind
    extent = (1, 2, 8, 8) if kind == "multilabel" else (1, 8, 8)
    object_ = np.zeros(extent, dtype=int)
    object_[..., :4] = 1
    zeros = np.zeros((1, 2, 8, 8) if kind == "multiclass" else extent)
    empty, full = Scene(kind, zeros, np.zeros_like(object_)).perfect(), Scene(kind, zeros, object_)
    cost, right, wrong = _value(trial, empty), _value(trial, full.perfect()), _value(trial, full.wrong())
    if wrong > right and cost - right > 0.05 * (wrong - right):
        words = f"it costs {cost:.4g}, an image with an object {right:.4g} if rightly and {wrong:.4g} if wrongly seen"
        return Violation(words, convention.render(empty))
    return None


# --- boxes -----------------------------------------------------------------------------------------------------------


@claim(
    "equal boxes cost nothing, at any size",
    "wrong value",
    "small and normalised boxes are never right: an epsilon shows",
    frameworks=EVERYWHERE,
    examples=1,
)
def equal_boxes(trial: Trial) -> str | Violation | None:
    if trial.convention is None or trial.convention.kind != "boxes":
        return None
    for side in (1e-3, 1.0, 1e3):
        box = np.array([[0.1, 0.2, 0.1 + side, 0.2 + side]])
        equal = Batch(box, box.copy())
        value = trial.subject.value(equal, "float32")
        if abs(value) > 1e-3:
            return Violation(f"two equal boxes of side {side:g} cost {value:.4g}", equal)
    return None


@claim(
    "an inverted box is not perfect",
    "fragile",
    "a model whose corners swap is told that it is right",
    frameworks=EVERYWHERE,
    examples=1,
)
def inverted_box(trial: Trial) -> str | Violation | None:
    if trial.convention is None or trial.convention.kind != "boxes":
        return None
    if trial.subject.forgives:
        return None
    box = np.array([[0.0, 0, 2, 2]])
    inverted = Batch(box[:, [2, 3, 0, 1]], box)
    try:
        value = trial.subject.value(inverted)
    except Exception:
        return None
    return Violation(f"[2, 2, 0, 0] against [0, 0, 2, 2] costs {value:.3g}", inverted) if value < 0.5 else None
