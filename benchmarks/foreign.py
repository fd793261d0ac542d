"""What the checker finds in the losses of other libraries.

`python -m benchmarks.foreign [WORD…] [--write docs/foreign.md]` runs `lossary.check` on losses of torchvision, MONAI,
smp, kornia, Keras and torch in the environment of the peers, and prints a table. WORDs choose losses by their names.
"""

from __future__ import annotations

import dataclasses
import os
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import typer
from rich.console import Console
from rich.progress import Progress

from lossary import checker
from lossary.checker.sandbox import CheckFailedError, run
from lossary.core.loss import Loss

SECONDS = 60.0
PACKAGES = {"segmentation_models_pytorch": "segmentation-models-pytorch"}


@dataclasses.dataclass(frozen=True)
class Foreign:
    """A loss of another library, and how it is to be understood."""

    spec: str
    task: str
    like: Loss | None = None
    ignore_index: int | None = None
    scores: str | None = None

    @property
    def package(self) -> str:
        return self.spec.partition(":")[0].partition(".")[0]

    @property
    def library(self) -> str:
        name = PACKAGES.get(self.package, self.package)
        return f"{name} {metadata.version(name)}"

    @property
    def loss(self) -> str:
        return self.spec.partition(":")[2]


def _boxes(name: str) -> Foreign:
    return Foreign(f"torchvision.ops:{name}(reduction='mean')", "boxes")


def _monai(loss: str, **how: Any) -> Foreign:
    return Foreign(f"monai.losses:{loss}", "segmentation", **how)


def _smp(loss: str, **how: Any) -> Foreign:
    return Foreign(f"segmentation_models_pytorch.losses:{loss}", "segmentation", **how)


def _kornia(loss: str, **how: Any) -> Foreign:
    return Foreign(f"kornia.losses:{loss}", "segmentation", **how)


LOSSES = (
    Foreign("torch.nn:MSELoss", "regression"),
    Foreign("torch.nn:HuberLoss", "regression"),
    Foreign("torch.nn:CrossEntropyLoss(ignore_index=255)", "segmentation"),
    Foreign("torch.nn:BCEWithLogitsLoss", "classification"),
    _boxes("generalized_box_iou_loss"),
    _boxes("distance_box_iou_loss"),
    _boxes("complete_box_iou_loss"),
    Foreign("torchvision.ops:sigmoid_focal_loss(reduction='mean', alpha=-1)", "classification"),
    Foreign("torchvision.ops:sigmoid_focal_loss(reduction='mean', alpha=-1, gamma=0.5)", "classification"),
    _monai("DiceLoss(softmax=True, to_onehot_y=True)"),
    _monai("DiceLoss(sigmoid=True)"),
    _monai("GeneralizedDiceLoss(softmax=True, to_onehot_y=True)"),
    _monai("TverskyLoss(softmax=True, to_onehot_y=True, alpha=0.3, beta=0.7)"),
    _monai("FocalLoss(use_softmax=True, to_onehot_y=True)"),
    _monai("FocalLoss(use_softmax=True, to_onehot_y=True, include_background=False)"),
    _monai("DiceCELoss(softmax=True, to_onehot_y=True)"),
    _smp("DiceLoss(mode='multiclass')"),
    _smp("DiceLoss(mode='binary')"),
    _smp("JaccardLoss(mode='multiclass')"),
    _smp("TverskyLoss(mode='multiclass', gamma=0.75)"),
    _smp("FocalLoss(mode='multiclass')"),
    _smp("FocalLoss(mode='binary', gamma=0.5)"),
    _smp("FocalLoss(mode='binary', normalized=True)"),
    _smp("FocalLoss(mode='multiclass', ignore_index=255)", ignore_index=255),
    _smp("LovaszLoss(mode='multiclass', ignore_index=255)", ignore_index=255),
    _smp("SoftCrossEntropyLoss(smooth_factor=0.0, ignore_index=255)", ignore_index=255),
    _smp("SoftBCEWithLogitsLoss(ignore_index=255)", ignore_index=255),
    _kornia("DiceLoss"),
    _kornia("FocalLoss(alpha=None, reduction='mean', ignore_index=255)", ignore_index=255),
    _kornia("TverskyLoss(alpha=0.3, beta=0.7)"),
    _kornia("LovaszSoftmaxLoss"),
    Foreign("keras.losses:Tversky(alpha=0.3, beta=0.7)", "segmentation", scores="probabilities"),
    Foreign("keras.losses:Dice", "segmentation", scores="probabilities"),
    Foreign("keras.losses:SparseCategoricalCrossentropy(from_logits=True)", "classification"),
    Foreign("keras.losses:BinaryFocalCrossentropy(from_logits=True)", "classification"),
    Foreign("keras.losses:BinaryCrossentropy(from_logits=True)", "classification"),
    Foreign("keras.losses:MeanSquaredError", "regression"),
)


def _order(foreign: Foreign) -> dict[str, Any]:
    options = {
        "task": foreign.task,
        "scores": foreign.scores,
        "framework": "torch",
        "target_first": None,
        "ignore_index": foreign.ignore_index,
        "seconds": SECONDS,
    }
    return {"spec": foreign.spec, "like": foreign.like and foreign.like.to_dict(), "options": options}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def rows(words: list[str]) -> list[tuple[Foreign, checker.Report | str]]:
    """What the checker says of each loss, or why it says nothing."""
    chosen = [f for f in LOSSES if not words or any(word in f.spec for word in words)]
    found: list[tuple[Foreign, checker.Report | str]] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("losses", total=len(chosen))
        for foreign in chosen:
            progress.update(task, description=foreign.spec)
            try:
                found.append((foreign, run(_order(foreign), SECONDS, lambda *_: None)))
            except CheckFailedError as error:
                found.append((foreign, str(error)))
            progress.advance(task)
    return found


def markdown(found: list[tuple[Foreign, checker.Report | str]]) -> str:
    lines = ["| library | loss | equals | claim | what is |", "|---|---|---|---|---|"]
    for foreign, report in found:
        head = f"| {foreign.library} | `{_cell(foreign.loss)}` |"
        if isinstance(report, str):
            lines.append(f"{head} | not checked | {_cell(report[:300])} |")
            continue
        equals = report.equals.partition(", on ")[0]
        if not report.findings:
            lines.append(f"{head} {_cell(equals)} | every claim holds | |")
        for finding in report.findings:
            lines.append(f"{head} {_cell(equals)} | {finding.claim} ({finding.severity}) | {_cell(finding.words)} |")
    return "\n".join(lines) + "\n"


def main(
    words: Annotated[list[str] | None, typer.Argument(help="Parts of names.")] = None,
    write: Annotated[Path | None, typer.Option(help="Puts the table into this page, between its two marks.")] = None,
) -> None:
    table = markdown(rows(words or []))
    if write is None:
        print(table)
        return
    before, start, rest = write.read_text().partition("<!-- table -->\n")
    _, end, after = rest.partition("<!-- end of table -->")
    write.write_text(before + start + table + end + after)


if __name__ == "__main__":
    typer.run(main)
