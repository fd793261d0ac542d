"""Claims about what a loss means: it is least for the truth, grows with the error, teaches where it is wrong, and
leaves out what it is told to. They need the scene behind the arrays."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lossary.checker.claims import EVERYWHERE, TORCH, Violation, claim, near, precision
from lossary.checker.engines import Batch
from lossary.checker.scenes import Scene
from lossary.checker.subject import Trial

Array = np.ndarray[Any, Any]


def _value(trial: Trial, scene: Scene) -> float:
    return trial.with_scene(scene).value()


def _of_places(trial: Trial) -> bool:
    return trial.convention is not None and trial.convention.kind not in ("boxes", "values")


# --- direction -------------------------------------------------------------------------------------------------------


@claim(
    "no guess is better than the truth",
    "wrong value",
    "the model learns something else than the labels",
    frameworks=EVERYWHERE,
    examples=15,
)
def truth_is_best(trial: Trial) -> str | Violation | None:
    """Against the guess of the trial, a wrong one, and what lies between."""
    scene = trial.scene
    if scene is None:
        return None
    least = _value(trial, scene.perfect())
    others = {"this guess": scene, "a guess that is wrong everywhere": scene.wrong()}
    for words, other in others.items():
        value = _value(trial, other)
        if value < least - 1e-5 * max(1.0, abs(least)):
            return f"the truth as prediction costs {least:.6g}, {words} only {value:.6g}"
    return None


@claim(
    "the loss grows with the error",
    "wrong gradient",
    "the gradient points away from the truth for some samples",
    frameworks=EVERYWHERE,
    examples=10,
)
def monotone(trial: Trial) -> str | Violation | None:
    """On the straight way from the truth to a wrong answer."""
    scene = trial.scene
    if scene is None:
        return None
    start, end = scene.perfect(), scene.wrong()
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
    wrong, surer = trial.scene.wrong(), dataclasses.replace(trial.scene.wrong(), guess=2 * trial.scene.wrong().guess)
    growth = _value(trial, surer) - _value(trial, wrong)
    steep = _value(trial, wrong) - _value(trial, dataclasses.replace(wrong, guess=0 * wrong.guess))
    gradient = trial.subject.run(trial.convention.render(surer), precision(trial)).gradient
    assert gradient is not None
    size = float(np.abs(gradient).max(initial=0))
    unbounded = steep > 5.0  # a log-likelihood at logits of 20: about 20, times the focal factor of 1
    if unbounded and (size < 1e-6 or growth < 0.1 * steep):
        return f"at logits of ±{2 * 20:g} against the truth the gradient is {size:.2g}, and the value stands still"
    return None


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
    guess = np.zeros((1, 300, *extent))
    guess[0, 257] = 20.0
    batch = convention.render(Scene("multiclass", guess, np.full((1, *extent), 257)))
    narrow, wide = trial.subject.value(batch, "bfloat16"), trial.subject.value(batch, precision(trial))
    if not near(narrow, wide, 1e-2):
        return (
            f"label 257 of 300, rightly predicted, costs {narrow:.4g} in bfloat16 and {wide:.4g} in {precision(trial)}"
        )
    return None


# --- what is left out ------------------------------------------------------------------------------------------------


def _with_ignored(trial: Trial) -> tuple[Trial, Array] | None:
    """The trial with the places of its last samples ignored, and which samples those are."""
    ignored = trial.subject.ignore_index
    convention, scene = trial.convention, trial.scene
    if ignored is None or convention is None or scene is None or not _of_places(trial) or len(scene.truth) < 2:
        return None
    if convention.target not in ("labels", "channel", "float") or convention.kind == "multilabel":
        return None
    left_out = np.arange(len(scene.truth)) >= len(scene.truth) // 2
    target = trial.batch.target.copy()
    target[left_out] = ignored
    return dataclasses.replace(trial, batch=Batch(trial.batch.prediction, target)), left_out


@claim(
    "ignored places are not in the mean",
    "wrong value",
    "the more is ignored, the smaller the loss: the learning rate depends on the padding",
    frameworks=EVERYWHERE,
    examples=5,
)
def ignored_places(trial: Trial) -> str | Violation | None:
    found = _with_ignored(trial)
    if found is None:
        return None
    spoiled, left_out = found
    kept = trial.batch[~left_out]
    a, b = spoiled.value(), trial.subject.value(kept)
    if near(a, b, 1e-5):
        return None
    words = f"with {left_out.sum()} of {len(left_out)} samples ignored it is {a:.6g}, and {b:.6g} without them"
    if b and near(a / b, 1 - left_out.mean(), 1e-3):
        words += " (they are counted in the denominator)"
    return Violation(words, spoiled.batch)


@claim(
    "ignored places have no gradient, even where the prediction is NaN",
    "wrong gradient",
    "padding moves the model, or one NaN in it ends the run",
    examples=3,
)
def ignored_gradient(trial: Trial) -> str | Violation | None:
    found = _with_ignored(trial)
    if found is None:
        return None
    spoiled, left_out = found
    gradient = trial.subject.run(spoiled.batch, "float32").gradient
    assert gradient is not None
    if (gradient[left_out] != 0).any():
        size = float(np.abs(gradient[left_out]).max())
        return Violation(f"the gradient at ignored places is up to {size:.3g}", spoiled.batch)
    prediction = spoiled.batch.prediction.copy()
    prediction[left_out] = np.nan
    poisoned = spoiled.batch.with_prediction(prediction)
    outcome = trial.subject.run(poisoned, "float32")
    if not np.isfinite(outcome.number).all() or outcome.gradient is None or not np.isfinite(outcome.gradient).all():
        return Violation("a NaN at ignored places reaches the value or the gradient", poisoned)
    return None


@claim(
    "nothing left to average is finite",
    "fragile",
    "one image without a labelled pixel makes every weight NaN",
    examples=1,
)
def all_ignored(trial: Trial) -> str | Violation | None:
    if _with_ignored(trial) is None:
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
    shape = (1, *([scene.classes] if scene.kind == "multiclass" else []), 512, 512)
    truth = np.ones((1, 512, 512), dtype=int)
    sure = Scene(scene.kind, np.zeros(shape), truth).perfect()
    batch = convention.render(dataclasses.replace(sure, guess=0.4 * sure.guess))
    try:
        value = trial.subject.value(batch, "float16")
    except Exception as error:
        return f"float16 raises {type(error).__name__}: {str(error).splitlines()[0][:120]}"
    exact = trial.subject.value(batch, "float32")
    if not np.isfinite(value) and np.isfinite(exact):
        return Violation(f"512 × 512 places in float16 give {value}, in float32 {exact:.4g}", batch)
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
    shape = (1, 2, 8, 8) if kind == "multiclass" else (1, 8, 8)
    scene = Scene(kind, np.zeros(shape), np.zeros((1, 8, 8), dtype=int))
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
    if type(trial.subject.like).__name__ == "FocalEIoULoss":
        return None  # weighs disjoint boxes by 0, and says so
    box = np.array([[0.0, 0, 2, 2]])
    inverted = Batch(box[:, [2, 3, 0, 1]], box)
    try:
        value = trial.subject.value(inverted)
    except Exception:
        return None
    return Violation(f"[2, 2, 0, 0] against [0, 0, 2, 2] costs {value:.3g}", inverted) if value < 0.5 else None
