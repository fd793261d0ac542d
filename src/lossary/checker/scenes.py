"""Scenes: what is predicted and what is true, before any library's convention says how that is written down.

A scene can be moved: towards the truth, away from it, to other labels. That is what claims such as "the loss grows with
the error" need, and what a bare pair of arrays cannot do. A `Convention` renders a scene as the arrays that one loss
takes: labels or one-hot, classes first or last, logits or probabilities.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np

from lossary.checker.engines import Batch

Array = np.ndarray[Any, Any]
Task = Literal["classification", "segmentation", "sequence", "boxes", "regression", "embedding"]
Kind = Literal["multiclass", "binary", "multilabel", "boxes", "values", "pairs"]
TASKS: tuple[Task, ...] = ("segmentation", "classification", "boxes", "regression", "sequence", "embedding")

Role = Literal["", "variance", "negative", "sign", "flag", "flag of unlike", "order"]

PLAIN: tuple[Kind, ...] = ("boxes", "values", "pairs")
"""Kinds without places and scores."""

CLASSES = 3
"""Classes of a scene for a loss that takes any number of them."""

OPERANDS: dict[Role, str] = {
    "variance": "the variance of each value",
    "negative": "a vector that does not belong to it",
    "sign": "1 where both belong together and -1 where not",
    "flag": "1 where both belong together and 0 where not",
    "flag of unlike": "0 where both belong together and 1 where not",
    "order": "1 where the first should be the larger and -1 where not",
}
"""What the third argument of a loss may be."""

SURE = 20.0
"""The logit of an answer that is given without doubt: a softmax of two such classes is 2e-9 short of 1."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """`guess` are logits with the classes on axis 1 (multiclass), one logit per place (binary, multilabel), boxes with
    corners, plain values or vectors; `truth` are labels without the class axis, 0 and 1, boxes, values, or the vectors
    that those of the guess belong to. `operand` is the third argument of a loss that takes one, in a role."""

    kind: Kind
    guess: Array
    truth: Array
    operand: Array | None = None
    role: Role = ""

    @property
    def classes(self) -> int:
        return self.guess.shape[1] if self.kind == "multiclass" else 2

    def perfect(self) -> Scene:
        """The truth itself as the guess."""
        return dataclasses.replace(self, guess=self._certain(self.truth))

    def right(self) -> list[Scene]:
        """The truth, said with more and with less certainty where guesses are logits: label smoothing likes less."""
        sure = self.perfect()
        if self.kind in PLAIN:
            return [sure]
        return [dataclasses.replace(sure, guess=share * sure.guess) for share in np.geomspace(1.0, 0.05, 9)]

    @property
    def all_right(self) -> bool:
        """Whether the guess gives the right answer at every place, however sure it is."""
        if self.kind in PLAIN:
            return bool((self.guess == self.truth).all())
        answer = self.guess.argmax(1) if self.kind == "multiclass" else self.guess > 0
        return bool((answer == self.truth).all())

    def wrong(self) -> Scene:
        """A guess that is as sure as `perfect` and wrong at every place; boxes and values some units off."""
        if self.role in ("sign", "flag", "flag of unlike", "order"):
            return dataclasses.replace(self, guess=self._paired(-1.0))
        if self.kind == "pairs":
            return dataclasses.replace(self, guess=-self.truth if self.operand is None else self.operand.copy())
        if self.kind == "multiclass":
            return dataclasses.replace(self, guess=self._certain((self.truth + 1) % self.classes))
        if self.kind in ("binary", "multilabel"):
            return dataclasses.replace(self, guess=-self._certain(self.truth))
        away = np.array([2.0, 1, 2, 1]) if self.kind == "boxes" else 2.0
        return dataclasses.replace(self, guess=self.truth + away)

    def contradicted(self) -> Scene:
        """With a third argument under which this guess should cost more: what is a mask or a weight does not so."""
        assert self.operand is not None
        changed = {
            "variance": 0.25 * self.operand,
            "negative": self.guess,
            "flag": 1 - self.operand,
            "flag of unlike": 1 - self.operand,
        }.get(self.role, -self.operand)
        return dataclasses.replace(self, operand=changed)

    def towards(self, other: Scene, share: float) -> Scene:
        """A guess on the way from this one to another: `share` 0 is this one, 1 the other. Where guesses are logits,
        the way is straight in probabilities, so that no third class comes and goes."""
        if self.kind in PLAIN:
            return dataclasses.replace(self, guess=(1 - share) * self.guess + share * other.guess)
        here, there = (log_probabilities(scene.guess, self.kind) for scene in (self, other))
        with np.errstate(divide="ignore"):
            mixed = [np.logaddexp(np.log1p(-share) + a, np.log(share) + b) for a, b in zip(here, there, strict=True)]
        return dataclasses.replace(self, guess=mixed[0] if self.kind == "multiclass" else mixed[0] - mixed[1])

    def _certain(self, answer: Array) -> Array:
        if self.kind == "multiclass":
            # up and down by half, so that a sigmoid for each class is sure too
            return SURE * (np.moveaxis(np.eye(self.classes)[answer], -1, 1) - 0.5)
        if self.kind in ("binary", "multilabel"):
            return SURE * (2.0 * answer - 1.0)
        if self.role in ("sign", "flag", "flag of unlike", "order"):
            return self._paired(1.0)
        return answer.astype(float)

    def _paired(self, way: float) -> Array:
        """What the operand asks for, or (with `way` -1) its opposite: the same vector or the opposite one, a larger
        number or a smaller one."""
        assert self.operand is not None
        sign = {"flag": 2.0 * self.operand - 1, "flag of unlike": 1 - 2.0 * self.operand}.get(self.role, self.operand)
        if self.role == "order":
            return self.truth + 2.0 * way * sign
        return way * sign[:, None] * self.truth


@dataclasses.dataclass(frozen=True)
class Convention:
    """How a loss wants prediction and target written down.

    Args:
        task: which field the loss is of.
        kind: what a scene holds.
        scores: whether the prediction holds logits or probabilities; boxes and values are what they are.
        target: `"labels"`; `"one-hot"`, floats of the prediction's shape; `"channel"`, labels with an axis of length 1
            in place of the classes; `"float"`, 0 and 1 as floats in the shape of the prediction.
        channel: whether a binary prediction has an axis of length 1 for its only class.
        last: whether the classes are on the last axis.
        classes: how many classes the loss was made for; None where it takes any number.
        role: what its third argument is; empty for a loss of two.
    """

    task: Task
    kind: Kind
    scores: Literal["logits", "probabilities", "plain"] = "logits"
    target: Literal["labels", "one-hot", "channel", "float"] = "labels"
    channel: bool = False
    last: bool = False
    classes: int | None = None
    role: Role = ""

    def render(self, scene: Scene) -> Batch:
        """The arrays of a scene, as float64 and int64."""
        if self.kind in PLAIN:
            operands = {} if scene.operand is None else {self.role.partition(" ")[0]: scene.operand}
            return Batch(scene.guess.astype(float), scene.truth.astype(float), operands)
        prediction = scene.guess.astype(float)
        if self.scores == "probabilities":
            prediction = probabilities(prediction, self.kind)
        truth = scene.truth
        if self.kind == "multiclass":
            if self.target == "one-hot":
                truth = np.moveaxis(np.eye(scene.classes)[truth], -1, 1)
            elif self.target == "channel":
                truth = truth[:, None]
            if self.last:
                prediction = np.moveaxis(prediction, 1, -1)
                truth = truth if self.target == "labels" else np.moveaxis(truth, 1, -1)
            return Batch(prediction, truth)
        if self.channel:
            axis = -1 if self.last else 1
            prediction = np.expand_dims(prediction, axis)
            if self.target != "labels" or self.task == "segmentation":
                truth = np.expand_dims(truth, axis)
        return Batch(prediction, truth.astype(float) if self.target == "float" else truth)

    @property
    def of_places(self) -> bool:
        """Whether prediction and target say something of each of many places or samples: which class, yes or no."""
        return self.kind not in PLAIN

    def __str__(self) -> str:
        """In words, as the report says it."""
        if self.kind in PLAIN:
            return self._plain() + (f", third {OPERANDS[self.role]}" if self.role else "")
        places = {"classification": "", "segmentation": ", H, W", "sequence": ", T"}.get(self.task, "")
        first = f"(N{places}, C)" if self.last else f"(N, C{places})"
        if self.kind == "multiclass":
            labels = f"(N{places})" if places else "(N,)"
            target = {
                "labels": f"labels {labels}",
                "one-hot": f"one-hot targets {first}",
                "channel": "labels " + first.replace("C", "1"),
            }[self.target]
            return f"{self.scores} {first}, {target}"
        if self.kind == "multilabel":
            shape = first
        else:
            shape = first.replace("C", "1") if self.channel else (f"(N{places})" if places else "(N,)")
        return f"{self.scores} {shape}, targets 0 and 1 as {'floats' if self.target == 'float' else 'integers'}"

    def _plain(self) -> str:
        if self.kind == "boxes":
            return "boxes (N, 4) as x1, y1, x2, y2"
        if self.kind == "values":
            return "values of one shape"
        if self.role == "order":
            return "numbers (N,) and others (N,)"
        return "vectors (N, F), and in the same row the vector that each belongs to"


def probabilities(logits: Array, kind: Kind) -> Array:
    """Through the softmax over axis 1, or through the sigmoid."""
    if kind == "multiclass":
        p = np.exp(logits - logits.max(1, keepdims=True))
        return p / p.sum(1, keepdims=True)
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1 / (1 + small), small / (1 + small))


def log_probabilities(logits: Array, kind: Kind) -> list[Array]:
    """ln p of the classes in one array (multiclass), or ln p and ln(1-p)."""
    if kind == "multiclass":
        shifted = logits - logits.max(1, keepdims=True)
        return [shifted - np.log(np.exp(shifted).sum(1, keepdims=True))]
    return [-np.logaddexp(0.0, -logits), -np.logaddexp(0.0, logits)]


def conventions(task: Task | None = None) -> list[Convention]:
    """Those that losses are known to have, in the order in which they are tried: the strictest and plainest first, so
    that a loss which takes nearly anything is understood as the plainest thing that it may be."""
    images: tuple[Task, ...] = ("segmentation", "classification", "sequence")
    scored: list[Convention] = []
    for scores in ("logits", "probabilities"):
        for name in images:
            for last in (False, True) if name != "classification" else (False,):
                scored.append(Convention(name, "multiclass", scores, "labels", last=last))
        if scores == "logits":
            scored.append(Convention("regression", "values", "plain", "float"))
            scored.append(Convention("boxes", "boxes", "plain", "float"))
        for name in images:
            for target in ("float", "labels"):
                scored.append(Convention(name, "binary", scores, target, channel=name != "classification"))
                scored.append(Convention(name, "binary", scores, target, channel=name == "classification"))
        scored.append(Convention("segmentation", "binary", scores, "float", channel=True, last=True))
        for name in images:
            targets = ("one-hot", "channel") if name == "segmentation" else ("one-hot",)
            for last in (False, True) if name != "classification" else (False,):
                scored += [Convention(name, "multiclass", scores, target, last=last) for target in targets]
        scored += [Convention(name, "multilabel", scores, "float") for name in ("classification", "segmentation")]
    scored.append(Convention("embedding", "pairs", "plain", "float"))
    scored.append(Convention("embedding", "pairs", "plain", "float", role="negative"))
    scored.append(Convention("regression", "values", "plain", "float", role="variance"))
    for role in ("flag", "flag of unlike", "sign", "order"):
        scored.append(Convention("embedding", "pairs", "plain", "float", role=role))
    return [convention for convention in scored if task in (None, convention.task)]


def random_scene(convention: Convention, seed: int, small: bool = False) -> Scene:
    """An ordinary scene of a seed. Its axes are all of unlike length, and of another in the next seed, so that nothing
    can be broadcast over another axis or fit an axis that it is not meant for; a small one can be printed."""
    classes = convention.classes or CLASSES
    lengths = [n for n in (5, 6, 7, 8, 9) if n != classes][:: -1 if seed % 2 else 1]
    samples, height, width, features = (2, 4, 2, 3) if small else lengths[:4]
    rng, answers = np.random.default_rng(seed), np.random.default_rng((seed, 1))
    if convention.kind == "boxes":
        return Scene("boxes", _boxes(rng, samples), _boxes(answers, samples))

    if convention.kind in ("values", "pairs"):
        shape = (samples,) if convention.role == "order" else (samples, features)
        truth = draw(answers, *shape)
        near = convention.kind == "pairs" and convention.role != "negative"
        guess = truth + (1 if near else 2) * draw(rng, *shape)
        operand = _operand(convention.role, answers, truth)
        return Scene(convention.kind, guess, truth, operand, convention.role)
    extent = {"classification": (), "segmentation": (height, width), "sequence": (height,)}[convention.task]
    if convention.kind == "multiclass":
        truth = answers.integers(0, classes, size=(samples, *extent))
        return Scene("multiclass", 2 * draw(rng, samples, classes, *extent), truth)
    shape = (samples, classes, *extent) if convention.kind == "multilabel" else (samples, *extent)
    truth = answers.integers(0, 2, size=shape)
    truth.flat[:2] = (0, 1)  # both answers occur
    return Scene(convention.kind, 2 * draw(rng, *shape), truth)


def draw(rng: np.random.Generator, *size: int) -> Array:
    """Ordinary numbers of two digits, so that a case can be read, and pasted as it is."""
    return np.round(rng.normal(size=size), 2)


def _operand(role: Role, rng: np.random.Generator, truth: Array) -> Array | None:
    """The third argument of a scene; both answers occur."""
    if not role:
        return None
    if role == "variance":
        return 0.5 + np.abs(draw(rng, *truth.shape))
    if role == "negative":
        return truth + draw(rng, *truth.shape)
    flags = np.arange(len(truth)) % 2.0
    return flags if role.startswith("flag") else 2 * flags - 1


def _boxes(rng: np.random.Generator, samples: int) -> Array:
    low = rng.uniform(0, 5, size=(samples, 2))
    return np.concatenate([low, low + rng.uniform(1, 6, size=(samples, 2))], axis=1).round(2)
