"""What a call costs where there is next to no data to compute with, and what places cost that do not count.

The bars of time are multiples of the fastest contender's, of operations a number: neither stands for the other. Bars at
full size, where everything counts, are in `cases.py`.
"""

from __future__ import annotations

import dataclasses

import lossary as L
from benchmarks.case import IGNORED, Bar, Case, Inputs
from benchmarks.cases import BCE, CE, IMAGES, SOFTMAX, F, kornia, monai, smp, torchvision
from benchmarks.contenders import Call, Ours

TOLL, SOME_IGNORED = "toll", "some ignored"
CALLS = 200

ROWS, MASKS = Inputs("classes", (32, 10)), Inputs("classes", (2, 4, 16, 16))
ANSWERS, SHARES = Inputs("binary", (32, 1)), Inputs("soft binary", (32, 1))
NUMBERS, BOXES = Inputs("elements", (320,)), Inputs("boxes", (16, 4))


def small(
    name: str, inputs: Inputs, loss: L.Loss, native: Call | None, peers: tuple[Call, ...], time: float, operations: int
) -> Case:
    """A case of small tensors; its bar of time is against the native function, if there is one, else the fastest."""
    against = "time/native" if native is not None else "time/peer"
    bars = (
        Bar(against, time, "the trunk: time on small tensors, forward and backward"),
        Bar("operations", operations, "the trunk: operations of torch on small tensors"),
    )
    return Case(TOLL, name, inputs, Ours(loss), native, peers, bars, calls=CALLS)


def ignored(name: str, loss: L.Loss, limit: float, peers: tuple[Call, ...] = ()) -> Case:
    """Full size, with 30 % of the labels ignored, against the native function that ignores them too."""
    bars = (Bar("time/native", limit, "the trunk: 30 % ignored, at full size"),)
    inputs = dataclasses.replace(IMAGES, kind="some ignored")
    return Case(SOME_IGNORED, name, inputs, Ours(loss.replace(ignore_index=IGNORED)), CE, peers, bars)


TVERSKY_PEERS = (
    monai("TverskyLoss", alpha=0.3, beta=0.7, **SOFTMAX),
    smp("TverskyLoss", mode="multiclass", alpha=0.3, beta=0.7),
    kornia("tversky_loss", alpha=0.3, beta=0.7),
)
TVERSKY = L.TverskyLoss("multiclass", fp_weight=0.3, fn_weight=0.7)
DICE, CROSS = L.DiceLoss("multiclass"), L.CrossEntropyLoss()

CASES = (
    small("cross entropy", ROWS, CROSS, CE, (), 1.6, 9),
    small("mse", NUMBERS, L.MSELoss(), F("mse_loss"), (), 1.7, 6),
    small("huber", NUMBERS, L.HuberLoss(), F("huber_loss"), (), 1.7, 6),
    small("l1", NUMBERS, L.L1Loss(), F("l1_loss"), (), 1.7, 6),
    small("smooth l1", NUMBERS, L.SmoothL1Loss(), F("smooth_l1_loss"), (), 1.7, 6),
    small("bce", ANSWERS, L.BCELoss(), BCE, (), 2.5, 20),
    small(
        "focal, float labels",
        SHARES,
        L.FocalLoss("binary"),
        None,
        (torchvision("sigmoid_focal_loss", "float", alpha=-1),),
        1.2,
        44,
    ),
    small(
        "focal, integer labels",
        ANSWERS,
        L.FocalLoss("binary"),
        None,
        (torchvision("sigmoid_focal_loss", "float", alpha=-1),),
        0.9,
        27,
    ),
    small(
        "focal", ROWS, L.FocalLoss("multiclass"), None, (kornia("focal_loss", alpha=None, reduction="mean"),), 0.6, 26
    ),
    small("dice", MASKS, DICE, None, (monai("DiceLoss", **SOFTMAX),), 0.9, 34),
    small("dice per batch", MASKS, DICE.replace(per="batch"), None, (smp("DiceLoss", mode="multiclass"),), 0.8, 38),
    small("dice + cross entropy", MASKS, DICE + CROSS, None, (monai("DiceCELoss", **SOFTMAX),), 0.9, 42),
    small("tversky", MASKS, TVERSKY, None, TVERSKY_PEERS, 0.9, 38),
    small(
        "jaccard",
        MASKS,
        L.JaccardLoss("multiclass"),
        None,
        (monai("DiceLoss", jaccard=True, **SOFTMAX), smp("JaccardLoss", mode="multiclass")),
        0.9,
        38,
    ),
    small("lovász", MASKS, L.LovaszSoftmaxLoss(), None, (smp("LovaszLoss", mode="multiclass"),), 1.2, 120),
    small("giou", BOXES, L.GIoULoss(), None, (torchvision("generalized_box_iou_loss"),), 1.15, 190),
    small("diou", BOXES, L.DIoULoss(), None, (torchvision("distance_box_iou_loss"),), 1.15, 190),
    small("ciou", BOXES, L.CIoULoss(), None, (torchvision("complete_box_iou_loss"),), 1.15, 190),
    ignored("cross entropy", CROSS, 1.45),
    ignored("focal", L.FocalLoss("multiclass"), 1.5),
    ignored("dice", DICE, 1.45),
    ignored("tversky", TVERSKY, 1.5),
    ignored("jaccard", L.JaccardLoss("multiclass"), 1.5),
)
