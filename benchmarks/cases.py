"""Every case and every bar, as data. A new loss is one line in `CASES`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import torch

import lossary as L
from benchmarks.case import Bar, Case, Inputs
from benchmarks.contenders import Call, Ours
from benchmarks.embedding import CLASSES, DIMENSION, as_columns, of_lengths

# --- the native limits and the peers ---------------------------------------------------------------------------------


def F(name: str, form: Literal["labels", "float"] = "labels", **options: object) -> Call:  # noqa: N802
    return Call(f"torch.nn.functional.{name}", options, form)


def monai(name: str, form: Literal["channel", "float"] = "channel", factor: float = 1.0, **options: object) -> Call:
    return Call(f"monai.losses.{name}", options, form, factor)


def smp(name: str, form: Literal["labels", "float"] = "labels", **options: object) -> Call:
    return Call(f"segmentation_models_pytorch.losses.{name}", options, form)


def kornia(name: str, factor: float = 1.0, **options: object) -> Call:
    return Call(f"kornia.losses.{name}", options, factor=factor)


def torchvision(name: str, form: Literal["labels", "float"] = "labels", **options: object) -> Call:
    return Call(f"torchvision.ops.{name}", {"reduction": "mean", **options}, form)


def pml(name: str, after: Callable[[Any], Any] | None = None, **options: object) -> Call:
    return Call(f"pytorch_metric_learning.losses.{name}", options, after=after)


def by_hand(name: str, **options: object) -> Call:
    return Call(f"benchmarks.embedding.{name}", options)


CE = F("cross_entropy")
BCE = F("binary_cross_entropy_with_logits", "float")
SOFTMAX = {"softmax": True, "to_onehot_y": True}

# --- the bars, in the words of the issues ----------------------------------------------------------------------------

FOCAL = (
    Bar("time/native", 1.5, "the house: multiclass focal at most 1.5 times F.cross_entropy"),
    Bar("saved", 1.3, "the house: focal saves at most 1.3 times the logits' bytes"),
)
LIKELIHOOD = (
    Bar("time/native", 1.3, "likelihood losses: at most 1.3 times F.cross_entropy"),
    Bar("saved", 1.3, "likelihood losses: 1.3 times the logits' bytes saved"),
)
PLAIN = (
    Bar("time/native", 1.15, "likelihood losses: plain cross entropy within 1.15 times"),
    Bar("saved", 1.3, "likelihood losses: 1.3 times the logits' bytes saved"),
)
BINARY = (
    Bar("time/native", 2.2, "binary likelihood losses: at most 2.2 times F.binary_cross_entropy_with_logits"),
    Bar("time/peer", 0.85, "binary likelihood losses: at most .85 times the fastest peer"),
    Bar("saved beyond", 1.2, "binary likelihood losses: saving at most 1.2 times the logits' bytes"),
)
REGION = (
    Bar("time/native", 1.4, "the house and segmentation: Dice, Jaccard, Tversky at most 1.4 times F.cross_entropy"),
    Bar("time/peer", 1.0, "segmentation: below the fastest of MONAI, smp, kornia"),
    Bar("saved", 1.2, "the house and segmentation: region losses save at most 1.2 times the logits' bytes"),
)
DICE_CE = (Bar("time/native", 1.6, "segmentation: Dice + cross entropy at most 1.6 times (one primitive)"),)
DICE_FOCAL = (Bar("saved", 2.0, "segmentation: 2.0 for Dice + focal"),)
LOVASZ = (
    Bar("time/peer", 0.35, "segmentation: Lovász softmax at most .35 times smp's"),
    Bar("saved", 2.2, "segmentation: 2.2 for Lovász"),
)
LOVASZ_KORNIA = (Bar("time/peer", 1.0, "segmentation: Lovász softmax below kornia's"),)
VOLUME = (Bar("peak", 3.5, "segmentation: at 1×100×64×64×64 peak extra memory at most 3.5 times the logits"),)
OUTLINE = (Bar("time/peer", 1.0, "segmentation: Hausdorff on 2×2×48³ below MONAI's time with the same classes"),)
BOXES = (
    Bar("time/peer", 0.8, "boxes: at most .8 times torchvision's time"),
    Bar(
        "saved beyond/peer",
        0.6,
        "boxes: at most .6 times torchvision's saved bytes (2.5 and 4.3 times the boxes' were measured)",
    ),
)

# --- the cases -------------------------------------------------------------------------------------------------------

SEGMENTATION, BINARY_MASKS, VOCABULARY = "segmentation", "binary masks", "1,000 classes"
VOLUMES, PAIRS, ELEMENTS, DIVERGENCE = "volumes", "boxes", "elements", "distributions"
OUTLINES, FEATURES = "outlines", "features"

IMAGES = Inputs("classes", (4, 19, 256, 256))
MASKS, SOFT_MASKS = Inputs("binary", (4, 1, 512, 512)), Inputs("soft binary", (4, 1, 512, 512))
ROWS = Inputs("classes", (16384, 1000))
CUBE = Inputs("classes", (1, 100, 64, 64, 64))
BLOCKS, BLOCK_MASKS = Inputs("classes", (2, 2, 48, 48, 48)), Inputs("binary", (2, 1, 48, 48, 48))
BOX_PAIRS = Inputs("boxes", (100_000, 4))
NUMBERS = Inputs("elements", (1_000_000,))

DICE, FOCAL_LOSS, CROSS = L.DiceLoss("multiclass"), L.FocalLoss("multiclass"), L.CrossEntropyLoss()
TVERSKY = L.TverskyLoss("multiclass", fp_weight=0.3, fn_weight=0.7)
BINARY_PEERS = (
    torchvision("sigmoid_focal_loss", "float", alpha=-1),
    monai("FocalLoss", "float"),
    smp("FocalLoss", mode="binary"),
    kornia("binary_focal_loss_with_logits", alpha=None, reduction="mean"),
)
ALPHA_PEERS = (
    torchvision("sigmoid_focal_loss", "float", alpha=0.25),
    monai("FocalLoss", "float", alpha=0.25),
    smp("FocalLoss", mode="binary", alpha=0.25),
    kornia("binary_focal_loss_with_logits", alpha=0.25, reduction="mean"),
)
# none of them has these losses: what their focal loss of the same masks takes
FOCAL_PEERS = BINARY_PEERS
SOFT_BCE = smp("SoftBCEWithLogitsLoss", "float", ignore_index=None)
# MONAI and kornia average over the classes too
SOFTMAX_FOCAL_PEERS = (
    monai("FocalLoss", factor=IMAGES.shape[1], use_softmax=True, to_onehot_y=True),
    kornia("focal_loss", factor=IMAGES.shape[1], alpha=None, reduction="mean"),
)


def likelihoods(classes: int) -> dict[str, L.Loss]:
    """The functions of one log-probability that have no case of their own."""
    counts = tuple(1000.0 / (c + 1) for c in range(classes))
    return {
        "poly": L.PolyLoss(),
        "generalized cross entropy": L.GeneralizedCrossEntropyLoss(),
        "symmetric cross entropy": L.SymmetricCrossEntropyLoss(),
        "class-balanced": L.ClassBalancedLoss("multiclass", counts=counts),
        "logit-adjusted": L.LogitAdjustedLoss(counts=counts),
        "ldam": L.LDAMLoss(counts=counts),
    }


CASES = (
    Case(
        SEGMENTATION, "cross entropy", IMAGES, Ours(CROSS), CE, (smp("SoftCrossEntropyLoss", smooth_factor=0.0),), PLAIN
    ),
    Case(SEGMENTATION, "focal", IMAGES, Ours(FOCAL_LOSS), CE, SOFTMAX_FOCAL_PEERS, FOCAL + LIKELIHOOD[:1]),
    Case(
        SEGMENTATION,
        "dice",
        IMAGES,
        Ours(DICE),
        CE,
        (monai("DiceLoss", **SOFTMAX), smp("DiceLoss", mode="multiclass"), kornia("dice_loss", average="macro")),
        REGION,
    ),
    Case(
        SEGMENTATION,
        "tversky",
        IMAGES,
        Ours(TVERSKY),
        CE,
        (
            monai("TverskyLoss", alpha=0.3, beta=0.7, **SOFTMAX),
            smp("TverskyLoss", mode="multiclass", alpha=0.3, beta=0.7),
            kornia("tversky_loss", alpha=0.3, beta=0.7),
        ),
        REGION,
    ),
    Case(
        SEGMENTATION,
        "jaccard",
        IMAGES,
        Ours(L.JaccardLoss("multiclass")),
        CE,
        (monai("DiceLoss", jaccard=True, **SOFTMAX), smp("JaccardLoss", mode="multiclass")),
        REGION,
    ),
    Case(
        SEGMENTATION, "dice + cross entropy", IMAGES, Ours(DICE + CROSS), CE, (monai("DiceCELoss", **SOFTMAX),), DICE_CE
    ),
    Case(
        SEGMENTATION,
        "dice + focal",
        IMAGES,
        Ours(DICE + FOCAL_LOSS),
        CE,
        (monai("DiceFocalLoss", **SOFTMAX),),
        DICE_FOCAL,
    ),
    Case(SEGMENTATION, "cross entropy + tversky", IMAGES, Ours(CROSS + TVERSKY), CE, (), DICE_CE),
    Case(
        SEGMENTATION,
        "dice + cross entropy, some ignored",
        IMAGES,
        Ours(L.DiceLoss("multiclass", ignore_index=0) + L.CrossEntropyLoss(ignore_index=0)),
        F("cross_entropy", ignore_index=0),
    ),
    Case(
        SEGMENTATION, "lovász", IMAGES, Ours(L.LovaszSoftmaxLoss()), CE, (smp("LovaszLoss", mode="multiclass"),), LOVASZ
    ),
    Case(
        SEGMENTATION,
        "lovász as kornia",
        IMAGES,
        Ours(L.LovaszSoftmaxLoss(per="image", classes="all")),
        CE,
        (kornia("lovasz_softmax_loss"),),
        LOVASZ_KORNIA,
    ),
    Case(
        BINARY_MASKS,
        "bce",
        MASKS,
        Ours(L.BCELoss()),
        BCE,
        (SOFT_BCE,),
    ),
    Case(
        BINARY_MASKS,
        "bce, soft target",
        SOFT_MASKS,
        Ours(L.BCELoss()),
        BCE,
        (SOFT_BCE,),
    ),
    Case(BINARY_MASKS, "focal", MASKS, Ours(L.FocalLoss("binary")), BCE, BINARY_PEERS, BINARY),
    Case(
        BINARY_MASKS,
        "focal, soft target",
        SOFT_MASKS,
        Ours(L.FocalLoss("binary")),
        BCE,
        BINARY_PEERS,
        BINARY,
    ),
    Case(BINARY_MASKS, "balanced focal", MASKS, Ours(L.FocalLoss("binary", alpha=0.25)), BCE, ALPHA_PEERS, BINARY),
    Case(BINARY_MASKS, "quality focal", SOFT_MASKS, Ours(L.QualityFocalLoss()), BCE, FOCAL_PEERS, BINARY),
    Case(BINARY_MASKS, "asymmetric", MASKS, Ours(L.AsymmetricLoss()), BCE, FOCAL_PEERS, BINARY),
    Case(BINARY_MASKS, "varifocal", SOFT_MASKS, Ours(L.VarifocalLoss()), BCE, FOCAL_PEERS, BINARY),
    Case(BINARY_MASKS, "class-balanced", MASKS, Ours(L.ClassBalancedLoss("binary", counts=(9, 1), gamma=2.0)), BCE),
    Case(BINARY_MASKS, "balanced bce", MASKS, Ours(L.BalancedBCELoss()), BCE),
    Case(BINARY_MASKS, "ghm", MASKS, Ours(L.GHMLoss()), BCE),
    Case(BINARY_MASKS, "top-k", MASKS, Ours(L.TopKLoss("binary")), BCE),
    Case(BINARY_MASKS, "dice", MASKS, Ours(L.DiceLoss("binary")), BCE, (monai("DiceLoss", "float", sigmoid=True),)),
    Case(
        BINARY_MASKS,
        "lovász hinge",
        MASKS,
        Ours(L.LovaszHingeLoss("binary", per="batch")),
        BCE,
        (smp("LovaszLoss", mode="binary"),),
        LOVASZ[1:],
    ),
    Case(VOCABULARY, "cross entropy", ROWS, Ours(CROSS), CE, (smp("SoftCrossEntropyLoss", smooth_factor=0.0),), PLAIN),
    Case(VOCABULARY, "focal", ROWS, Ours(FOCAL_LOSS), CE, (), LIKELIHOOD),
    Case(
        VOCABULARY,
        "smoothed",
        ROWS,
        Ours(L.CrossEntropyLoss(label_smoothing=0.1)),
        F("cross_entropy", label_smoothing=0.1),
    ),
    *(
        # LDAM is defined for cosines, which it scales; normal numbers times 30 are logits that no model gives
        Case(
            group,
            name,
            dataclasses.replace(inputs, kind="cosines") if name == "ldam" else inputs,
            Ours(loss),
            CE,
            (),
            LIKELIHOOD,
        )
        for group, inputs in ((SEGMENTATION, IMAGES), (VOCABULARY, ROWS))
        for name, loss in likelihoods(inputs.shape[1]).items()
    ),
    Case(SEGMENTATION, "bi-tempered", IMAGES, Ours(L.BiTemperedLoss()), CE),
    Case(SEGMENTATION, "top-k", IMAGES, Ours(L.TopKLoss("multiclass")), CE),
    Case(VOLUMES, "cross entropy", CUBE, Ours(CROSS), CE, (), VOLUME, timed=False),
    Case(
        VOLUMES,
        "focal",
        CUBE,
        Ours(FOCAL_LOSS),
        CE,
        (monai("FocalLoss", factor=100, use_softmax=True, to_onehot_y=True),),
        VOLUME,
        False,
    ),
    Case(
        VOLUMES,
        "dice",
        CUBE,
        Ours(DICE),
        CE,
        (monai("DiceLoss", **SOFTMAX), smp("DiceLoss", mode="multiclass")),
        VOLUME,
        False,
    ),
    Case(
        VOLUMES, "dice + cross entropy", CUBE, Ours(DICE + CROSS), CE, (monai("DiceCELoss", **SOFTMAX),), VOLUME, False
    ),
    Case(
        OUTLINES,
        "hausdorff",
        BLOCKS,
        Ours(L.HausdorffDTLoss("multiclass")),
        CE,
        (monai("HausdorffDTLoss", **SOFTMAX),),
        OUTLINE,
    ),
    Case(
        OUTLINES,
        "hausdorff by erosion",
        BLOCKS,
        Ours(L.HausdorffErosionLoss("multiclass", classes="all", erosion="mean")),
        CE,
        (Call("kornia.losses.HausdorffERLoss3D", form="channel", before=lambda z: torch.softmax(z, 1)),),
    ),
    Case(OUTLINES, "boundary", BLOCKS, Ours(L.BoundaryLoss("multiclass")), CE),
    Case(
        OUTLINES,
        "cldice",
        BLOCK_MASKS,
        Ours(L.ClDiceLoss("binary")),
        BCE,
        (monai("SoftclDiceLoss", "float", sigmoid=True, smooth=1e-12),),
    ),
    Case(VOLUMES, "lovász", CUBE, Ours(L.LovaszSoftmaxLoss()), CE, (), VOLUME, timed=False),
    Case(PAIRS, "giou", BOX_PAIRS, Ours(L.GIoULoss()), None, (torchvision("generalized_box_iou_loss"),), BOXES),
    Case(PAIRS, "diou", BOX_PAIRS, Ours(L.DIoULoss()), None, (torchvision("distance_box_iou_loss"),), BOXES),
    Case(PAIRS, "ciou", BOX_PAIRS, Ours(L.CIoULoss()), None, (torchvision("complete_box_iou_loss"),), BOXES),
    *(
        Case(PAIRS, loss.short_name(), BOX_PAIRS, Ours(loss))
        for loss in (
            L.IoULoss(),
            L.AlphaIoULoss(),
            L.InnerIoULoss(),
            L.EIoULoss(),
            L.FocalEIoULoss(),
            L.CDIoULoss(),
            L.SIoULoss(),
            L.MPDIoULoss(),
            L.WIoULoss(),
        )
    ),
    Case(ELEMENTS, "l1", NUMBERS, Ours(L.L1Loss()), F("l1_loss")),
    Case(ELEMENTS, "mse", NUMBERS, Ours(L.MSELoss()), F("mse_loss")),
    Case(ELEMENTS, "huber", NUMBERS, Ours(L.HuberLoss(delta=1.5)), F("huber_loss", delta=1.5)),
    Case(ELEMENTS, "smooth l1", NUMBERS, Ours(L.SmoothL1Loss(beta=0.5)), F("smooth_l1_loss", beta=0.5)),
    Case(ELEMENTS, "log-cosh", NUMBERS, Ours(L.LogCoshLoss()), F("huber_loss")),
    Case(
        DIVERGENCE,
        "kl",
        Inputs("distributions", (16384, 100)),
        Ours(L.KLDivLoss()),
        Call("torch.nn.functional.kl_div", {"reduction": "batchmean"}, before=lambda z: torch.log_softmax(z, 1)),
    ),
    Case(
        FEATURES,
        f"arcface of {CLASSES:,} classes",
        Inputs("features", (512, DIMENSION)),
        Ours(L.ArcFaceLoss(), "prototypes"),
        by_hand("ArcFace", margin=0.5, scale=64.0),
        (pml("ArcFaceLoss", as_columns, num_classes=CLASSES, embedding_size=DIMENSION, margin=math.degrees(0.5)),),
    ),
    Case(
        FEATURES,
        "supcon",
        Inputs("features", (1024, 128)),
        Ours(L.SupConLoss()),
        by_hand("supcon", temperature=0.1),
        (pml("SupConLoss", temperature=0.1),),
    ),
    Case(
        FEATURES,
        "triplet, hard",
        Inputs("features", (1024, 128)),
        Ours(L.TripletLoss(margin=0.2, mining="hard", squared=False)),
        by_hand("hard_triplets", margin=0.2),
    ),
    Case(
        FEATURES,
        "triplet, all",
        Inputs("features", (256, 128)),
        Ours(L.TripletLoss(margin=0.2, mining="all", squared=False)),
        by_hand("all_triplets", margin=0.2),
        (pml("TripletMarginLoss", of_lengths, margin=0.2),),
    ),
)


def find(id: str) -> Case:
    return next(case for case in CASES if case.id == id)
