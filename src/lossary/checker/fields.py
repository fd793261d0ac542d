"""Claims about ignored places, about images and about boxes. They need the scene behind the arrays."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lossary.checker.claims import (
    EVERYWHERE,
    TORCH,
    NotAskedError,
    Violation,
    apart,
    claim,
    first_line,
    near,
    precision,
    shown,
)
from lossary.checker.draws import unreduced_shape
from lossary.checker.engines import Batch
from lossary.checker.scenes import Scene
from lossary.checker.subject import Subject, Trial
from lossary.core.loss import Loss

Array = np.ndarray[Any, Any]


# --- what is left out ------------------------------------------------------------------------------------------------


def _with_ignored(trial: Trial) -> list[tuple[Trial, Array]]:
    """The trial with the last of its samples ignored, and with the last rows of every image; and what those are, as
    a mask of the places."""
    ignored = trial.subject.ignore_index
    convention, scene = trial.convention, trial.scene
    if ignored is None or convention is None or scene is None or not trial.of_places or len(scene.truth) < 2:
        raise NotAskedError
    if convention.target not in ("labels", "channel", "float") or convention.kind == "multilabel":
        raise NotAskedError
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
    "ignored places are in the mean",
    "wrong value",
    "the loss depends on how much is ignored, and with it the learning rate on the padding",
    frameworks=EVERYWHERE,
    examples=5,
)
def ignored_places(trial: Trial) -> str | Violation | None:
    for spoiled, left_out in _with_ignored(trial):
        assert trial.scene is not None
        a, b = spoiled.value(), trial.value_of(_without(trial.scene, left_out))
        if near(a, b, 1e-5):
            continue
        share = float(left_out.mean())
        left, without = apart(a, b)
        words = f"with {share:.0%} of the places ignored it is {left}, and {without} without them"
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
    "ignored places have a gradient",
    "wrong gradient",
    "padding moves the model",
    examples=3,
    slope=True,
)
def ignored_gradient(trial: Trial) -> str | Violation | None:
    for spoiled, left_out in _with_ignored(trial):
        gradient = trial.subject.run(spoiled.batch, "float32").gradient
        assert gradient is not None
        size = float(np.abs(gradient[_at(trial, left_out)]).max())
        if size:
            return Violation(f"the gradient at ignored places is up to {size:.3g}", spoiled.batch)
    return None


HOSTILE = (("NaN", np.nan), ("infinity", np.inf), ("-1e30", -1e30))
"""What may stand at a place that nobody looks at."""


@claim(
    "what stands at a place that does not count changes nothing",
    "what stands at a place that does not count changes the loss",
    "fragile",
    "one NaN in the padding ends the run, though nobody looks at the padding",
    examples=1,
)
def uncounted(trial: Trial) -> str | Violation | None:
    """In the prediction at ignored labels. Of a loss of the catalogue also at masked places, and there in a floating
    target and in the weights too."""
    if trial.subject.ours:
        return _masked(trial) or _ignored(trial)
    for spoiled, left_out in _with_ignored(trial):
        found = _spoiled(spoiled.subject, spoiled.batch, {"prediction": _at(trial, left_out)}, "ignored")
        if found is not None:
            return found
    return None


def _masked(trial: Trial) -> Violation | None:
    """Half of the places masked, with and without weights."""
    loss, batch = trial.subject.like, trial.batch
    assert loss is not None
    shape = unreduced_shape(loss, batch)
    counted = (np.indices(shape).sum(0) % 2 == 0) if shape else np.ones(shape, dtype=bool)
    for weights in ({"sample_weight": 0.5 + np.arange(counted.size).reshape(shape) % 3}, {}):
        masked = Batch(batch.prediction, batch.target, {**batch.keywords, "mask": counted, **weights}, batch.shared)
        try:
            trial.subject.value(masked)
        except (ValueError, TypeError):
            continue  # a loss of the whole batch, which takes none
        where = {"prediction": _spread(loss, ~counted, batch.prediction), **dict.fromkeys(weights, ~counted)}
        if batch.target.dtype.kind == "f":
            where["target"] = _spread(loss, ~counted, batch.target)
        found = _spoiled(trial.subject, masked, where, "masked")
        if found is not None:
            return found
    return None


def _ignored(trial: Trial) -> Violation | None:
    """A part of the labels ignored, with and without weights."""
    loss, batch = trial.subject.like, trial.batch
    assert loss is not None
    ignored = getattr(loss, "ignore_index", None)
    if ignored is None or batch.target.dtype.kind == "f" or batch.target.size < 2:
        return None
    shape = unreduced_shape(loss, batch)
    target = batch.target.copy()
    target.flat[1::2] = ignored
    if target.shape != shape:
        return None
    for weights in ({}, {"sample_weight": 0.5 + np.arange(target.size).reshape(shape) % 3}):
        given = Batch(batch.prediction, target, {**batch.keywords, **weights}, batch.shared)
        try:
            trial.subject.value(given)
        except (ValueError, TypeError):
            continue
        left_out: Array = np.asarray(target == ignored)
        where: dict[str, Array] = {
            "prediction": _spread(loss, left_out, batch.prediction),
            **dict.fromkeys(weights, left_out),
        }
        found = _spoiled(trial.subject, given, where, "ignored")
        if found is not None:
            return found
    return None


def _spread(loss: Loss, places: Array, x: Array) -> Array:
    """Places as a mask of the numbers of an array, which may have an axis of classes, or of coordinates, besides."""
    if places.shape == x.shape:
        return places
    axis = getattr(loss, "class_axis", -1) % x.ndim
    if places.ndim == x.ndim - 1 and places.shape == x.shape[:axis] + x.shape[axis + 1 :]:
        return np.broadcast_to(np.expand_dims(places, axis), x.shape)
    return np.broadcast_to(places.reshape(*places.shape, *[1] * (x.ndim - places.ndim)), x.shape)


def _spoiled(subject: Subject, batch: Batch, where: dict[str, Array], why: str) -> Violation | None:
    """What changes when hostile numbers stand at these places of prediction, target and weights."""
    before = subject.run(batch, "float32")
    for name, places in where.items():
        for words, number in HOSTILE:
            arrays = {"prediction": batch.prediction, "target": batch.target, **batch.keywords}
            arrays[name] = np.where(places, number, arrays[name])
            poisoned = Batch(arrays.pop("prediction"), arrays.pop("target"), arrays, batch.shared)
            after = subject.run(poisoned, "float32")
            at = f"with {words} in `{name}` at the {why} places"
            if not near(after.number, before.number, 1e-5):
                one, other = apart(float(after.number.sum()), float(before.number.sum()))
                return Violation(f"{at} it is {one} instead of {other}", poisoned)
            if before.gradient is None or after.gradient is None:
                continue
            if not near(after.gradient, before.gradient, 1e-4):
                wrong = "not finite" if not np.isfinite(after.gradient).all() else "another"
                return Violation(f"{at} the gradient is {wrong}", poisoned)
    return None


@claim(
    "nothing left to average is finite",
    "nothing left to average gives no finite number",
    "fragile",
    "one image without a labelled pixel makes every weight NaN",
    examples=1,
)
def all_ignored(trial: Trial) -> str | Violation | None:
    _ = _with_ignored(trial)  # asked only where something can be left out
    target = np.full_like(trial.batch.target, trial.subject.ignore_index)
    nothing = Batch(trial.batch.prediction, target)
    outcome = trial.subject.run(nothing, "float32")
    if outcome.number.shape != trial.subject.run(trial.batch, "float32").number.shape:
        return Violation(f"everything ignored, the result has shape {outcome.number.shape}", nothing)
    if not np.isfinite(outcome.number).all():
        return Violation(f"everything ignored, it is {shown(outcome.number)}", nothing)
    if outcome.gradient is not None and not np.isfinite(outcome.gradient).all():
        return Violation("everything ignored, the gradient is not finite", nothing)
    return None


# --- images ----------------------------------------------------------------------------------------------------------


@claim(
    "half precision survives a full-size image",
    "half precision does not survive a full-size image",
    "fragile",
    "mixed precision gives NaN as soon as images are as large as in practice",
    frameworks=TORCH,
    examples=1,
)
def large_image(trial: Trial) -> str | Violation | None:
    """Sums over 512 × 512 places leave the range of float16."""
    convention, scene = trial.convention, trial.scene
    if convention is None or scene is None or convention.task != "segmentation":
        raise NotAskedError
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
        return Violation(
            f"512 × 512 places in float16 give {apart(value)[0]}, in float32 {exact:.4g}", batch, "float16"
        )
    return None


@claim(
    "a false alarm on an empty mask teaches",
    "a false alarm on an empty mask teaches nothing",
    "fragile",
    "false positives on images without an object cost the same whatever the model does: it never unlearns them",
    examples=1,
    slope=True,
)
def empty_mask(trial: Trial) -> str | Violation | None:
    convention = trial.convention
    if convention is None or trial.scene is None or convention.task != "segmentation":
        raise NotAskedError
    if trial.subject.ours:  # its docstring says what `smooth` does here
        raise NotAskedError
    kind, several = trial.scene.kind, convention.classes or 2
    shape = (1, 8, 8) if kind == "binary" else (1, several, 8, 8)
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
    "an image without an object costs something, though rightly seen",
    "wrong value",
    "the more images show nothing, the higher the loss, whatever the model does there",
    frameworks=EVERYWHERE,
    examples=1,
)
def empty_and_right(trial: Trial) -> str | Violation | None:
    """Against an image with an object, rightly and wrongly seen. (A loss that is negative where it is right, a mean of
    signed distances say, has no such zero.)"""
    convention = trial.convention
    if convention is None or trial.scene is None or convention.task != "segmentation":
        raise NotAskedError
    kind, several = trial.scene.kind, convention.classes or 2
    extent = (1, several, 8, 8) if kind == "multilabel" else (1, 8, 8)
    object_ = np.zeros(extent, dtype=int)
    object_[..., :4] = 1
    zeros = np.zeros((1, several, 8, 8) if kind == "multiclass" else extent)
    empty, full = Scene(kind, zeros, np.zeros_like(object_)).perfect(), Scene(kind, zeros, object_)
    cost, right, wrong = trial.value_of(empty), trial.value_of(full.perfect()), trial.value_of(full.wrong())
    if wrong > right > -1e-6 and cost - right > 0.05 * (wrong - right):
        words = f"it costs {cost:.4g}, an image with an object {right:.4g} if rightly and {wrong:.4g} if wrongly seen"
        return Violation(words, convention.render(empty))
    return None


# --- boxes -----------------------------------------------------------------------------------------------------------


@claim(
    "equal boxes cost nothing, at any size",
    "equal boxes cost something",
    "wrong value",
    "small and normalised boxes are never right: an epsilon shows",
    frameworks=EVERYWHERE,
    examples=1,
)
def equal_boxes(trial: Trial) -> str | Violation | None:
    if trial.convention is None or trial.convention.kind != "boxes":
        raise NotAskedError
    for side in (1e-3, 1.0, 1e3):
        box = np.array([[0.1, 0.2, 0.1 + side, 0.2 + side]])
        equal = Batch(box, box.copy())
        value = trial.subject.value(equal, "float32")
        if not abs(value) <= 1e-3:  # nor is NaN
            return Violation(f"two equal boxes of side {side:g} cost {apart(value)[0]}", equal)
    return None


@claim(
    "an inverted box is not perfect",
    "an inverted box passes for perfect",
    "fragile",
    "a model whose corners swap is told that it is right",
    frameworks=EVERYWHERE,
    examples=1,
)
def inverted_box(trial: Trial) -> str | Violation | None:
    if trial.convention is None or trial.convention.kind != "boxes":
        raise NotAskedError
    if trial.subject.forgives:
        raise NotAskedError
    box = np.array([[0.0, 0, 2, 2]])
    inverted = Batch(box[:, [2, 3, 0, 1]], box)
    try:
        value = trial.subject.value(inverted)
    except Exception:
        return None
    return Violation(f"[2, 2, 0, 0] against [0, 0, 2, 2] costs {value:.3g}", inverted) if value < 0.5 else None
