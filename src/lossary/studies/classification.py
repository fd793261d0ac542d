"""The classification study: digits of which some are rare in training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lossary.studies import metrics
from lossary.studies.data import Data, Split, load
from lossary.studies.digits import classification_data
from lossary.studies.metrics import ClassMetric, Metric
from lossary.studies.results import Comparison
from lossary.studies.study import Section, Study

if TYPE_CHECKING:
    from torch import Tensor, nn

_CONFUSIONS = 40
"""Classes up to which the page has tables of confusions; squares of more are not seen, and their number grows fast."""

_MISTAKES = 12
"""Test images in the report that at least one loss gets wrong."""


def _load(path: Path) -> Data:
    return load(path, dense=False)


def _model(channels: int, classes: int) -> nn.Module:
    from lossary.studies.networks import SmallConvNet

    return SmallConvNet(channels, classes)


def _logits(logits: Tensor) -> Tensor:
    return logits.float()


def _pictures(comparison: Comparison, data: Data) -> list[Section]:
    """Confusions, calibration and mistakes of the models of the first seed."""
    from lossary.views import charts, report

    logits = comparison.predictions
    if not logits or not isinstance(data.test, Split):
        return []
    target = data.test.targets
    models = f"Models of seed {comparison.seeds[0]}"
    colours = report.colours(comparison)
    plots = {
        loss: charts.reliability(metrics.reliability(values, target, bins=10), colours[loss])
        for loss, values in logits.items()
    }
    sections = [
        Section(
            "Confidence against accuracy",
            "Test images sorted by the probability of the predicted class: on the diagonal, confidence is honest; "
            f"below it, the model is too sure. Larger dots hold more images. {models}.",
            report.render("reliability.html", charts=plots, colours=colours),
        ),
        Section(
            "Mistakes side by side",
            f"Test images that some loss gets wrong, most disputed first, each answer with its probability. {models}.",
            report.render("mistakes.html", rows=_mistakes(logits, data.test, data.classes), colours=colours),
        ),
    ]
    if len(data.classes) <= _CONFUSIONS:
        tables = {loss: _shares(values, target, len(data.classes)) for loss, values in logits.items()}
        confusions = Section(
            "Confusions",
            f"Rows are true classes, columns predicted ones; a full square is 100 %. {models}.",
            report.render("confusion.html", tables=tables, classes=data.classes, colours=colours),
        )
        sections.insert(1, confusions)
    return sections


def _shares(logits: np.ndarray, target: np.ndarray, classes: int) -> list[list[float]]:
    """The confusion table with rows that add up to 1."""
    table = metrics.confusion(logits.argmax(1), target, classes)
    return (table / np.maximum(table.sum(1, keepdims=True), 1)).tolist()


def _mistakes(logits: dict[str, np.ndarray], test: Split, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    from scipy.special import softmax  # pyright: ignore

    from lossary.views import images

    answers = np.stack([values.argmax(1) for values in logits.values()])
    sure: np.ndarray = softmax(np.stack(list(logits.values())), axis=2).max(2)
    wrong = (answers != test.targets).sum(0)
    # where about half of the losses are wrong, they tell themselves apart
    dispute = np.minimum(wrong, len(logits) - wrong)
    order = np.lexsort((-wrong, -dispute))
    chosen = [int(k) for k in order if wrong[k]][:_MISTAKES]
    pictures = list(images.grey(test.inputs[chosen])) if chosen else []
    return [
        {
            "image": images.png(picture),
            "truth": classes[int(test.targets[k])],
            "answers": [
                {
                    "loss": loss,
                    "label": classes[int(answers[i, k])],
                    "sure": float(sure[i, k]),
                    "right": bool(answers[i, k] == test.targets[k]),
                }
                for i, loss in enumerate(logits)
            ],
        }
        for picture, k in zip(pictures, chosen, strict=True)
    ]


STUDY = Study(
    name="classification",
    task="multiclass",
    losses=(
        "cross_entropy",
        "cross_entropy:class_weight=balanced",
        "cross_entropy:label_smoothing=.1",
        "focal",
        "hinge",
    ),
    data=classification_data,
    load=_load,
    model=_model,
    predict=_logits,
    metrics=(
        Metric("balanced_accuracy", "balanced accuracy", metrics.balanced_accuracy),
        Metric("macro_f1", "macro F1", metrics.macro_f1),
        Metric("calibration_error", "calibration error", metrics.calibration_error, better="low"),
    ),
    class_metric=ClassMetric("Recall", metrics.class_recall),
    pictures=_pictures,
    epochs=60,
    batch_size=16,
    learning_rate=0.005,
)
