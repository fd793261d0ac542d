"""What the checker finds in the losses of other libraries.

`python -m benchmarks.foreign [WORD…] [--jobs 2] [--write docs/foreign.md]` runs `lossary.check` on losses of torch,
torchvision, MONAI, smp, kornia, Keras and timm in the environment of the peers, and prints a table. WORDs choose losses
by parts of their names.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import typer
from rich.console import Console
from rich.progress import Progress

import lossary as L
from lossary import checker
from lossary.checker.sandbox import CheckFailedError, run
from lossary.core.loss import Loss

SECONDS = 900.0
"""A limit that no loss here meets, on a machine that has other things to do."""

PACKAGES = {"segmentation_models_pytorch": "segmentation-models-pytorch", "benchmarks": "monai"}

VALUE, GRADIENT = "the value is finite", "the gradient is finite"
EQUALS = "it equals"
IGNORED = "ignored places are not in the mean"
NOTHING_LEFT = "nothing left to average is finite"
LARGE, HALF = "half precision survives a full-size image", "half precision is as exact as its input"
COMPILES = "torch.compile(fullgraph=True) gives the same"
EMPTY_MASK = "a false alarm on an empty mask teaches"
TEACHES = "a sure and wrong answer still teaches"
EQUAL_BOXES = "equal boxes cost nothing, at any size"
SUMS = 'the reduction "sum" gives the sum of what "none" gives'
PULL = "the gradient pulls every place towards its label"
UNCOUNTED = "what stands at a place that does not count changes nothing"
TAKEN = "it takes a prediction and a target"
"""No claim of the checker: it says so of a loss that no kind of input suits."""

LISTED = {
    "peers 2a": "MONAI's Dice does not compile as one graph",
    "peers 2b": "MONAI's generalised Dice does not compile as one graph",
    "peers 2c": "MONAI's Hausdorff loss does not compile as one graph",
    "peers 2d": "smp's Lovász loss does not compile as one graph",
    "peers 3.1a": "kornia's focal loss is also divided by the number of classes",
    "peers 3.1b": "kornia's focal loss is also divided by the ignored pixels",
    "peers 3.1c": 'MONAI\'s focal loss: reduction="sum" is a mean over the places, of (N, C) over all',
    "peers 3.3a": "smp's soft cross-entropy is also divided by the ignored pixels",
    "peers 3.3b": "torch's cross-entropy is NaN if every label is ignored",
    "peers 3.4a": "kornia's Dice is 1 minus the mean probability of the true class, not Dice",
    "peers 3.4b": "smp's `smooth` has twice the effect that it has elsewhere",
    "peers 3.4c": "Keras' Dice of an empty image without a false alarm is 1",
    "peers 3.4d": "smp's Dice has no gradient on an image without an object",
    "peers 3.4e": "MONAI's Dice has nearly no gradient on an image without an object",
    "peers 3.8": "torchvision's GIoU of two equal boxes of side 0.001 is 0.09",
    "peers 4.4a": "torchvision's CIoU of a box without height: NaN gradient",
    "peers 4.4b": "torchvision's CIoU drops the caller's `eps`",
    "peers 4.5": "torchvision's GIoU calls an inverted box perfect",
    "peers 4.13": "smp's normalised focal loss: the gradient of positives turns its sign",
    "peers 4.14a": "smp's focal loss of probabilities takes ln p for a logit",
    "peers 4.14b": "smp's focal loss, multilabel with ignore_index: IndexError",
    "peers 4.15": "smp's soft cross-entropy as constructed by default: TypeError",
    "peers 4.17": "MONAI's masked loss sees a probability of 1/2 outside the mask",
    "peers 4.18a": "MONAI's DiceCE(sigmoid=True) takes a softmax for its cross-entropy",
    "peers 4.18b": "MONAI's DiceFocal(softmax=True) takes a sigmoid for its focal loss",
    "peers 4.19": "MONAI's contrastive loss is NaN at a temperature of 0.01",
    "peers 4.21a": "Keras casts labels to the loss's dtype: class 257 is read as 256",
    "peers 4.21b": "Keras' focal loss clips its probability: no gradient for a sure and wrong answer",
    "peers 4.22a": "timm's asymmetric loss clamps its probability: no gradient for a sure and wrong answer",
    "peers 4.22b": "timm's JSD loss has NaN gradients at saturated logits",
    "peers 4.25a": "smp's focal Tversky of a perfect prediction: NaN gradient",
    "peers 4.25b": "torchvision's focal loss with gamma below 1 at a saturated logit: NaN gradient",
    "peers 4.25c": "timm's asymmetric loss with gamma_pos below 1: NaN gradient",
    "peers 4.26a": "smp's Lovász loss of void pixels only has shape (0, C)",
    "peers 4.26b": "smp's Lovász loss raises in half precision",
    "peers 4 numerics a": "smp's Dice of large images is NaN in float16",
    "peers 4 numerics b": "MONAI's Dice of large images is NaN in float16",
    "peers 4 numerics c": "smp's MCC of large images is NaN in float16",
    "peers 4 syncs": "MONAI's Dice changes its own weight at the first call; other numbers of classes raise afterwards",
    "faults a": "MONAI's MaskedDiceLoss multiplies by the mask: a NaN outside of it spreads",
    "faults b": "MONAI's MaskedDiceLoss of labels counts what is outside the mask as background",
    "pains 2a": "torch's MSE broadcasts (N, 1) against (N,)",
    "pains 2b": "MONAI's Dice takes a mask of 0 and 255",
    "pains 6": "Keras' Tversky has alpha and beta exchanged",
    "pains 8": "smp's soft BCE is also divided by the ignored pixels",
}
"""Faults of these libraries that were seen in a study of their code before there was a checker (`research/peers.md` and
`research/pains.md`: section and number), or from outside (`research/faults.md`), in the releases installed here."""


@dataclasses.dataclass(frozen=True)
class Foreign:
    """A loss of another library, how it is to be understood, and which claims must name which listed faults."""

    spec: str
    task: str
    like: Loss | None = None
    ignore_index: int | None = None
    scores: str | None = None
    kind: str | None = None
    known: dict[str, str] = dataclasses.field(default_factory=dict)

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


def _from(module: str, task: str) -> Callable[..., Foreign]:
    def make(loss: str, task: str = task, **how: Any) -> Foreign:
        return Foreign(f"{module}:{loss}", task, **how)

    return make


_torch = _from("torch.nn", "regression")
_vision = _from("torchvision.ops", "boxes")
_monai = _from("monai.losses", "segmentation")
_smp = _from("segmentation_models_pytorch.losses", "segmentation")
_kornia = _from("kornia.losses", "segmentation")
_keras = _from("keras.losses", "classification")
_timm = _from("timm.loss", "classification")
_wrapped = _from("benchmarks.wrapped", "segmentation")

LOSSES = (
    _torch("MSELoss", known={"pains 2a": "shapes that do not match are refused"}),
    _torch("HuberLoss"),
    _torch("CrossEntropyLoss(ignore_index=255)", "segmentation", known={"peers 3.3b": NOTHING_LEFT}),
    _torch("CrossEntropyLoss(label_smoothing=0.1)", "classification"),
    _torch("BCEWithLogitsLoss", "classification"),
    _torch("GaussianNLLLoss"),
    _torch("TripletMarginLoss", "embedding"),
    _torch("CosineEmbeddingLoss", "embedding"),
    _torch("MarginRankingLoss(margin=1.0)", "embedding"),
    _vision(
        "generalized_box_iou_loss(reduction='mean')",
        known={"peers 3.8": EQUAL_BOXES, "peers 4.5": "an inverted box is not perfect"},
    ),
    _vision("distance_box_iou_loss(reduction='mean')"),
    _vision("complete_box_iou_loss(reduction='mean')", known={"peers 4.4a": GRADIENT}),
    _vision("complete_box_iou_loss(reduction='mean', eps=1e-12)", known={"peers 4.4b": EQUAL_BOXES}),
    _vision("distance_box_iou_loss(reduction='mean', eps=1e-12)"),
    _vision("sigmoid_focal_loss(reduction='mean', alpha=-1)", "classification"),
    _vision(
        "sigmoid_focal_loss(reduction='mean', alpha=-1, gamma=0.5)",
        "classification",
        known={"peers 4.25b": GRADIENT},
    ),
    _monai("DiceLoss(softmax=True, to_onehot_y=True)", known={"peers 2a": COMPILES}),
    _monai(
        "DiceLoss(sigmoid=True)",
        known={
            "peers 3.4e": EMPTY_MASK,
            "peers 4 numerics b": LARGE,
            "pains 2b": "a label that is no class is refused",
        },
    ),
    _monai(
        "DiceLoss(softmax=True, to_onehot_y=True, weight=0.5)",
        known={"peers 4 syncs": "a call changes neither its arguments nor the loss"},
    ),
    _monai("GeneralizedDiceLoss(softmax=True, to_onehot_y=True)", known={"peers 2b": COMPILES}),
    _monai("TverskyLoss(softmax=True, to_onehot_y=True, alpha=0.3, beta=0.7)"),
    _monai("FocalLoss(use_softmax=True, to_onehot_y=True)"),
    _monai("FocalLoss(use_softmax=True, to_onehot_y=True, include_background=False)"),
    _monai("FocalLoss(reduction='sum')", "classification", kind="multilabel", known={"peers 3.1c": SUMS}),
    _monai("DiceCELoss(softmax=True, to_onehot_y=True)"),
    _monai(
        "DiceCELoss(sigmoid=True)",
        kind="multilabel",
        like=L.DiceLoss("multilabel") + L.BCELoss("multilabel"),
        known={"peers 4.18a": EQUALS},
    ),
    _monai(
        "DiceFocalLoss(softmax=True, to_onehot_y=True)",
        like=L.DiceLoss("multiclass") + (1 / 3) * L.FocalLoss("multiclass"),  # a third: see FocalLoss
        known={"peers 4.18b": EQUALS},
    ),
    _monai("HausdorffDTLoss(softmax=True, to_onehot_y=True)", known={"peers 2c": COMPILES}),
    _monai("ContrastiveLoss(temperature=0.01)", "embedding", known={"peers 4.19": VALUE}),
    _wrapped("masked_dice", ignore_index=255, known={"peers 4.17": IGNORED}),
    _wrapped("masked_dice_of_logits", ignore_index=255, known={"faults a": UNCOUNTED}),
    _wrapped("masked_dice_of_classes", ignore_index=255, known={"faults b": IGNORED}),
    _smp("DiceLoss(mode='multiclass')", known={"peers 4 numerics a": LARGE}),
    _smp("DiceLoss(mode='binary')", known={"peers 3.4d": EMPTY_MASK}),
    _smp(
        "DiceLoss(mode='binary', smooth=0.5)",
        like=L.DiceLoss("binary", per="batch", smooth=0.5),
        known={"peers 3.4b": EQUALS},
    ),
    _smp("JaccardLoss(mode='multiclass')"),
    _smp("TverskyLoss(mode='multiclass', gamma=0.75)", known={"peers 4.25a": GRADIENT}),
    _smp("MCCLoss", known={"peers 4 numerics c": LARGE}),
    _smp("FocalLoss(mode='multiclass')"),
    _smp(
        "FocalLoss(mode='multiclass', from_logits=False)",
        scores="probabilities",
        like=L.FocalLoss("multilabel"),
        known={"peers 4.14a": "a sure and right answer costs next to nothing"},
    ),
    _smp("FocalLoss(mode='binary', gamma=0.5)"),
    _smp("FocalLoss(mode='binary', normalized=True)", known={"peers 4.13": PULL}),
    _smp("FocalLoss(mode='multiclass', ignore_index=255)", ignore_index=255),
    _smp(
        "FocalLoss(mode='multilabel', ignore_index=255)",
        ignore_index=255,
        kind="multilabel",
        known={"peers 4.14b": TAKEN},
    ),
    _smp(
        "LovaszLoss(mode='multiclass', ignore_index=255)",
        ignore_index=255,
        known={"peers 2d": COMPILES, "peers 4.26a": NOTHING_LEFT, "peers 4.26b": HALF},
    ),
    _smp("SoftCrossEntropyLoss", known={"peers 4.15": TAKEN}),
    _smp("SoftCrossEntropyLoss(smooth_factor=0.0, ignore_index=255)", ignore_index=255, known={"peers 3.3a": IGNORED}),
    _smp("SoftBCEWithLogitsLoss(ignore_index=255)", ignore_index=255, known={"pains 8": IGNORED}),
    _kornia("DiceLoss", like=L.DiceLoss("multiclass"), known={"peers 3.4a": EQUALS}),
    _kornia(
        "FocalLoss(alpha=None, reduction='mean', ignore_index=255)",
        ignore_index=255,
        like=L.FocalLoss("multiclass"),
        known={"peers 3.1a": EQUALS, "peers 3.1b": IGNORED},
    ),
    _kornia("TverskyLoss(alpha=0.3, beta=0.7)"),
    _kornia("LovaszSoftmaxLoss"),
    _keras(
        "Tversky(alpha=0.3, beta=0.7)",
        "segmentation",
        scores="probabilities",
        like=L.TverskyLoss("binary", per="batch", fp_weight=0.3, fn_weight=0.7),
        known={"pains 6": EQUALS},
    ),
    _keras(
        "Dice",
        "segmentation",
        scores="probabilities",
        kind="binary",
        known={"peers 3.4c": "an image without an object, rightly seen, costs nothing"},
    ),
    _keras("SparseCategoricalCrossentropy(from_logits=True)"),
    _keras(
        "SparseCategoricalCrossentropy(from_logits=True, dtype='bfloat16')",
        known={"peers 4.21a": "labels keep their digits"},
    ),
    _keras("BinaryFocalCrossentropy(from_logits=True)", known={"peers 4.21b": TEACHES}),
    _keras("BinaryCrossentropy(from_logits=True)"),
    _keras("MeanSquaredError", "regression"),
    _timm("AsymmetricLossMultiLabel", kind="multilabel", known={"peers 4.22a": TEACHES}),
    _timm("AsymmetricLossMultiLabel(gamma_pos=0.5)", kind="multilabel", known={"peers 4.25c": GRADIENT}),
    _timm("JsdCrossEntropy(num_splits=1)", known={"peers 4.22b": GRADIENT}),
    _timm("LabelSmoothingCrossEntropy"),
)


def _order(foreign: Foreign) -> dict[str, Any]:
    options = {
        "task": foreign.task,
        "scores": foreign.scores,
        "kind": foreign.kind,
        "classes": None,
        "framework": "torch",
        "target_first": None,
        "ignore_index": foreign.ignore_index,
        "seconds": SECONDS,
    }
    return {"spec": foreign.spec, "like": foreign.like and foreign.like.to_dict(), "options": options}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def rows(words: list[str], jobs: int) -> list[tuple[Foreign, checker.Report | str]]:
    """What the checker says of each loss, or why it says nothing; each in a process of its own."""
    chosen = [f for f in LOSSES if not words or any(word in f.spec for word in words)]
    with Progress(console=Console(stderr=True), transient=True) as progress, ThreadPoolExecutor(jobs) as pool:
        task = progress.add_task("losses", total=len(chosen))

        def checked(foreign: Foreign) -> checker.Report | str:
            try:
                return run(_order(foreign), SECONDS, lambda *_: None)
            except CheckFailedError as error:
                return str(error)
            finally:
                progress.advance(task)

        return list(zip(chosen, pool.map(checked, chosen), strict=True))


def failed(report: checker.Report | str) -> list[str]:
    """The claims that a loss does not keep."""
    return [TAKEN] if isinstance(report, str) else [finding.claim for finding in report.findings]


def missed(found: list[tuple[Foreign, checker.Report | str]]) -> list[str]:
    """Listed faults that the claim which should name them did not."""
    return [
        f"{foreign.spec}: {listed} ({LISTED[listed]}) is not named by {claim!r}"
        for foreign, report in found
        for listed, claim in foreign.known.items()
        if not any(name.startswith(claim) for name in failed(report))
    ]


def markdown(found: list[tuple[Foreign, checker.Report | str]]) -> str:
    """The findings by loss, then the listed faults."""
    lines = [
        "| library | loss | equals | what fails | there | smallest input | listed |",
        "|---|---|---|---|---|---|---|",
    ]
    for foreign, report in found:
        head = f"| {foreign.library} | `{_cell(foreign.loss)}` |"
        listed = {claim: number for number, claim in foreign.known.items()}
        if isinstance(report, str):
            lines.append(f"{head} | {TAKEN} | {_cell(_reason(report))} | | {listed.get(TAKEN, '')} |")
            continue
        equals = _cell(report.equals.partition(", on ")[0])
        if report.unfinished:
            lines.append(f"{head} {equals} | {len(report.unfinished)} claims not tried for lack of time | | | |")
        elif not report.findings:
            lines.append(f"{head} {equals} | every claim holds | | | |")
        for finding in report.findings:
            number = next((n for claim, n in listed.items() if finding.claim.startswith(claim)), "")
            claim = f"{_cell(finding.fails)} ({finding.severity})"
            lines.append(f"{head} {equals} | {claim} | {_cell(finding.words)} | {_cell(finding.input)} | {number} |")
    lines += ["", "| listed | fault | named by |", "|---|---|---|"]
    for number, claim in sorted((n, c) for foreign, _ in found for n, c in foreign.known.items()):
        lines.append(f"| {number} | {_cell(LISTED[number])} | {_cell(claim)} |")
    return "\n".join(lines) + "\n"


def _reason(report: str) -> str:
    """The first failure that a refusal quotes."""
    _, _, given = report.partition("It gave ")
    return given.partition(";")[0] or report


def main(
    words: Annotated[list[str] | None, typer.Argument(help="Parts of names.")] = None,
    write: Annotated[Path | None, typer.Option(help="Puts the table into this page, between its two marks.")] = None,
    jobs: Annotated[int, typer.Option(help="How many losses at a time.", min=1)] = 1,
) -> None:
    """Exit code 1 if a fault that is listed is not found."""
    found = rows(words or [], jobs)
    lost, declared = missed(found), sum(len(foreign.known) for foreign, _ in found)
    count = f"{declared - len(lost)} of the listed faults found, of {declared} declared for {len(found)} losses"
    page = f"{count}.\n\n{markdown(found)}"
    if write is None:
        print(page)
    elif not lost:
        before, start, rest = write.read_text().partition("<!-- table -->\n")
        _, end, after = rest.partition("<!-- end of table -->")
        write.write_text(before + start + page + end + after)
    for line in lost:
        print(line, file=sys.stderr)
    print(count, file=sys.stderr)
    raise typer.Exit(bool(lost))


if __name__ == "__main__":
    typer.run(main)
