"""The sequence study: strips of handwritten digits, read without knowing where each digit stands."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lossary import text
from lossary.losses.sequence import CTCLoss, ExpectedEditDistanceLoss
from lossary.studies.archive import read_arrays
from lossary.studies.data import SPLITS, Data, Split, check_classes, check_images, parts_of
from lossary.studies.digits import PADDING, sequence_data
from lossary.studies.errors import InputError
from lossary.studies.metrics import Metric
from lossary.studies.results import Comparison
from lossary.studies.study import Section, Study

if TYPE_CHECKING:
    from torch import Tensor, nn

_SHOWN = 12
"""Test strips in the report."""


# --- data and model ---------------------------------------------------------------------------------------------------


def _load(path: Path) -> Data:
    """An .npz of `images` (N, H, W) or (N, channels, H, W) and `labels` (N, S): from 0, -1 behind the last."""
    arrays = read_arrays(path, ("images", "labels"), ("split", "classes"))
    images, labels = check_images(arrays["images"]), arrays["labels"]
    if labels.ndim != 2 or len(labels) != len(images) or labels.dtype.kind not in "ui":
        raise InputError(
            f"`labels` must be integers (N, S), {PADDING} behind the last of a row, to match `images` {images.shape}; "
            f"got {labels.dtype} {labels.shape}"
        )
    behind = labels < 0
    if (labels < PADDING).any() or (behind[:, :-1] & ~behind[:, 1:]).any():
        raise InputError(f"`labels` must be 0 or more, with {PADDING} only behind the last of a row")
    if behind.all():
        raise InputError(f"every label in `labels` is {PADDING}, which stands for none: no strip says anything")
    names = check_classes("labels", labels[~behind], arrays.get("classes"))
    part = parts_of(arrays.get("split"), labels, dense=True, seed=0)
    for index, name in enumerate(SPLITS):
        if behind[part == index].all():
            raise InputError(f"every label of the {name} part is {PADDING}, which stands for none: nothing to read")
    mean, deviation = images[part == 0].mean(), images[part == 0].std() or 1.0
    images, labels = (images - mean) / deviation, np.where(behind, PADDING, labels.astype(np.int64) + 1)
    splits = [Split(images[part == p], labels[part == p]) for p in range(3)]
    sizes = " / ".join(str(len(split)) for split in splits)
    about = f"{path.name}: {sizes} strips for train / validation / test."
    return Data(*splits, classes=("blank", *names), description=about)


def _model(channels: int, classes: int) -> nn.Module:
    from lossary.studies.networks import SmallReader

    return SmallReader(channels, classes)


def read_strips(logits: Tensor) -> Tensor:
    """What the best class of each frame says, as rows padded to the number of frames."""
    import torch

    path = logits.argmax(2)
    fresh = torch.ones_like(path, dtype=torch.bool)
    fresh[:, 1:] = path[:, 1:] != path[:, :-1]
    said = fresh & (path != 0)
    # what is said to the front, in its order
    order = (~said).to(torch.int8).argsort(dim=1, stable=True)
    return torch.where(said, path, PADDING).gather(1, order)


# --- measures ---------------------------------------------------------------------------------------------------------


def character_error_rate(prediction: np.ndarray, target: np.ndarray) -> float:
    """Edits between readings and truth over the digits of the truth; both are padded."""
    lengths = [(x != PADDING).sum(1) for x in (prediction, target)]
    return text.character_error_rate(prediction, target, hypothesis_lengths=lengths[0], truth_lengths=lengths[1])


def exact_match_rate(prediction: np.ndarray, target: np.ndarray) -> float:
    """The share of strips that are read without an error."""
    return float((_edits(prediction, target) == 0).mean())


def _edits(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    lengths = [(x != PADDING).sum(1) for x in (prediction, target)]
    return text.edit_distance(
        prediction, target, normalize=False, hypothesis_lengths=lengths[0], truth_lengths=lengths[1]
    )


# --- the loss in two phases -------------------------------------------------------------------------------------------


@dataclasses.dataclass
class CTCThenEditDistance:
    """CTC first; for the last part of training the expected edit distance of sampled readings, with a little CTC."""

    start: float = 0.7  # share of training after which edits are what counts
    samples: int = 6  # readings drawn for each strip, beside the likeliest
    ctc: float = 0.1  # weight of CTC from then on
    progress: float = 0.0

    def advance(self, progress: float) -> None:
        self.progress = progress

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        ctc = CTCLoss(ignore_index=PADDING)(logits, target)
        if self.progress < self.start:
            return ctc
        return self.ctc * ctc + self._expected_edits(logits, target)

    def _expected_edits(self, logits: Tensor, target: Tensor) -> Tensor:
        import torch

        readings = self._readings(logits.detach())
        rows, count, frames = readings.shape
        every = logits.unsqueeze(1).expand(-1, count, -1, -1).reshape(rows * count, *logits.shape[1:])
        likelihood = -CTCLoss(ignore_index=PADDING, reduction="none")(every, readings.reshape(rows * count, frames))
        likelihood = likelihood.reshape(rows, count)
        # one of equal readings is enough: a likelihood is that of all paths that say the same
        same = (readings.unsqueeze(1) == readings.unsqueeze(2)).all(3)
        again = torch.tril(same, diagonal=-1).any(2)
        return ExpectedEditDistanceLoss()(
            likelihood.masked_fill(again, -torch.inf),
            target,
            hypotheses=readings,
            hypothesis_lengths=(readings != PADDING).sum(2),
            target_lengths=(target != PADDING).sum(1),
        )

    def _readings(self, logits: Tensor) -> Tensor:
        """The likeliest reading of each strip, and some drawn from what the model believes: (N, K, T)."""
        import torch

        rows, frames, classes = logits.shape
        p = torch.softmax(logits.float(), 2).reshape(rows * frames, classes)
        drawn = torch.multinomial(p, self.samples, replacement=True).reshape(rows, frames, self.samples)
        paths = torch.cat([logits.argmax(2, keepdim=True), drawn], dim=2).movedim(2, 1)
        one_hot = torch.nn.functional.one_hot(paths, classes).reshape(-1, frames, classes)
        return read_strips(one_hot).reshape(rows, self.samples + 1, frames)


# --- pictures ---------------------------------------------------------------------------------------------------------


def _pictures(comparison: Comparison, data: Data) -> list[Section]:
    """Strips as the models of the first seed read them, and where errors are."""
    from lossary.views import report

    readings = comparison.predictions
    if not readings or not isinstance(data.test, Split):
        return []
    colours, models = report.colours(comparison), f"Models of seed {comparison.seeds[0]}"
    truth = data.test.targets
    sizes = (truth != PADDING).sum(1)
    by_length = [
        {
            "length": int(n),
            "strips": int((sizes == n).sum()),
            "rates": {loss: character_error_rate(x[sizes == n], truth[sizes == n]) for loss, x in readings.items()},
        }
        for n in np.unique(sizes)
    ]
    return [
        Section(
            "Strips and their readings",
            "Test strips, those on which losses disagree most first. What a reading has "
            f"too much or wrong is struck out, what it lacks is underlined. {models}.",
            report.render("strips.html", rows=_strips(readings, data.test, data.classes), colours=colours),
        ),
        Section(
            "Error rate by length",
            f"Character error rate of test strips of each length. {models}.",
            report.render("lengths.html", rows=by_length, losses=list(readings), colours=colours),
        ),
    ]


def _strips(readings: dict[str, np.ndarray], test: Split, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    from lossary.views import images

    wrong = np.stack([_edits(x, test.targets) for x in readings.values()])
    order = np.lexsort((-wrong.sum(0), -np.ptp(wrong, axis=0)))
    chosen = [int(k) for k in order[:_SHOWN]]
    return [
        {
            "image": images.png(picture),
            "truth": _said(test.targets[k], classes),
            "readings": [
                {"loss": loss, "marks": _marks(_said(x[k], classes), _said(test.targets[k], classes))}
                for loss, x in readings.items()
            ],
        }
        for picture, k in zip(images.grey(test.inputs[chosen]), chosen, strict=True)
    ]


def _said(row: np.ndarray, classes: tuple[str, ...]) -> list[str]:
    return [classes[int(label)] for label in row if label != PADDING]


def _marks(read: list[str], truth: list[str]) -> list[tuple[str, str]]:
    """Each label of a reading, and each it lacks, with what is to be said of it: right, wrong or missing."""
    from rapidfuzz.distance import Levenshtein

    marks: list[tuple[str, str]] = []
    for step in Levenshtein.opcodes(read, truth):
        kind = "right" if step.tag == "equal" else "wrong"
        marks += [(kind, label) for label in read[step.src_start : step.src_end]]
        if step.tag in ("insert", "replace"):
            marks += [("missing", label) for label in truth[step.dest_start : step.dest_end]]
    return marks


STUDY = Study(
    name="sequence",
    task="",
    losses=("ctc", "ctc_then_edit_distance"),
    data=sequence_data,
    load=_load,
    model=_model,
    predict=read_strips,
    metrics=(
        Metric("cer", "character error rate", character_error_rate, better="low"),
        Metric("exact", "exact matches", exact_match_rate),
    ),
    class_metric=None,
    pictures=_pictures,
    epochs=25,
    batch_size=32,
    learning_rate=0.006,
    class_axis=2,
    options={"ignore_index": PADDING},
    criteria={"ctc_then_edit_distance": CTCThenEditDistance},
)
