"""What a call refuses, and in which words; error inputs are data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import lossary as L
from lossary.checker.draws import draw, takes_dense
from lossary.core.families import NamedSumLoss
from lossary.core.families.region import OverlapLoss
from lossary.core.options import Domain, choices
from lossary.losses.region.lovasz import LovaszLoss
from variants import defaults, variants

f = np.zeros
logits = np.random.default_rng(0).normal(size=(2, 3, 4))
labels = np.zeros((2, 4), dtype=int)
images = np.random.default_rng(1).normal(size=(2, 8, 8))


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


class Squares(np.ndarray):
    """As np.matrix, whose `**` is no power of its elements; making one of these does not warn."""


# fmt: off
CALLS: list[tuple[str, Callable[[], Any], type[Exception], list[str]]] = [
    ("broadcast", lambda: L.HuberLoss()(f((8, 1)), f(8)), ValueError, ["prediction", "(8, 1)", "target", "(8,)"]),
    ("rows", lambda: L.MSELoss()(f((8, 2)), f((8, 3))), ValueError, ["(8, 2)", "(8, 3)", "same shape"]),
    ("binary shape", lambda: L.BCELoss()(f((8, 1)), f(8)), ValueError, ["(8, 1)", "(8,)", "squeeze"]),
    ("labels with an axis too many", lambda: L.CrossEntropyLoss()(logits, labels[:, None]), ValueError, ["(2, 4)", "Drop the axis"]),
    ("classes last", lambda: L.CrossEntropyLoss()(f((2, 5, 4, 3)), f((2, 5, 4), int)), ValueError, ["class_axis=-1"]),
    ("float labels", lambda: L.CrossEntropyLoss()(logits, labels.astype(float)), TypeError, ["integers", "float64"]),
    ("integer logits", lambda: L.CrossEntropyLoss()(f((2, 3), int), f(2, int)), TypeError, ["prediction", "floating", "int64"]),
    ("list", lambda: L.MSELoss()([1.0], [2.0]), TypeError, ["prediction", "array", "list"]),
    ("target list", lambda: L.MSELoss()(f(1), [2.0]), TypeError, ["target", "list"]),
    ("no target", lambda: L.MSELoss()(f(1), None), TypeError, ["MSELoss", "target", "None"]),
    ("two libraries", lambda: L.MSELoss()(torch.zeros(3), f(3)), TypeError, ["torch", "numpy", "convert"]),
    ("mask shape", lambda: L.MSELoss()(f((2, 3)), f((2, 3)), mask=f(3, bool)), ValueError, ["mask", "(3,)", "(2, 3)"]),
    ("float mask", lambda: L.MSELoss()(f(3), f(3), mask=f(3)), TypeError, ["mask", "bool", "sample_weight"]),
    ("weight shape", lambda: L.CrossEntropyLoss()(logits, labels, sample_weight=f((2, 3, 4))), ValueError, ["sample_weight", "(2, 3, 4)", "(2, 4)"]),
    ("label out of range", lambda: L.CrossEntropyLoss()(logits, labels + 3), ValueError, ["label 3 at [0, 0] is not in [0, 2]"]),
    ("labels from 1", lambda: L.CrossEntropyLoss()(logits, np.array([[1, 2, 3, 1]] * 2)), ValueError, ["label 3 at [0, 2]", "start at 0"]),
    ("void label", lambda: L.DiceLoss("multiclass")(logits, labels + 255), ValueError, ["label 255", "ignore_index=255"]),
    ("0/255 integers", lambda: L.DiceLoss("binary")(f((2, 4)), np.array([[0, 255, 0, 255]] * 2)), ValueError, ["255", "mask > 127"]),
    ("ignore_index with distributions", lambda: L.CrossEntropyLoss(ignore_index=0)(logits, logits), ValueError, ["ignore_index", "mask"]),
    ("class weights", lambda: L.CrossEntropyLoss(class_weight=(1, 2))(logits, labels), ValueError, ["class_weight", "2 numbers", "3 classes"]),
    ("class counts", lambda: L.LDAMLoss(counts=(1, 2))(logits, labels), ValueError, ["counts", "2 numbers", "3 classes"]),
    ("class alphas", lambda: L.FocalLoss("multiclass", alpha=(1, 2))(logits, labels), ValueError, ["alpha", "2 numbers", "3 classes"]),
    ("between which bins", lambda: L.DistributionFocalLoss()(logits, labels + 2.5), ValueError, ["target", "[0, 2]", "2.5"]),
    ("0/255 classes", lambda: L.JaccardLoss("multiclass")(f((1, 2, 4)), np.array([[0, 255, 255, 0]])), ValueError, ["label 255 at [0, 1]", "mask > 127"]),
    ("void label of a compound", lambda: L.UnifiedFocalLoss("multiclass")(logits, labels + 255), ValueError, ["UnifiedFocalLoss", "label 255", "ignore_index=255"]),
    ("class list of a compound", lambda: L.ComboLoss("multiclass", classes=(1, 7))(logits, labels), ValueError, ["ComboLoss", "classes", "7", "3 classes"]),
    ("classes last of regions", lambda: L.GeneralizedDiceLoss("multiclass")(f((2, 8, 4, 3)), f((2, 8, 4), int)), ValueError, ["(2, 8, 4, 3)", "class_axis=-1"]),
    ("soft hinge", lambda: L.LovaszHingeLoss("binary")(f((2, 4)), np.full((2, 4), 0.3)), ValueError, ["one true answer", "mask > 0.5"]),
    ("soft Lovász", lambda: L.LovaszSoftmaxLoss()(logits, np.full((2, 3, 4), 1 / 3)), ValueError, ["one true class", "class indices"]),
    ("normalizer of a compound", lambda: L.ComboLoss("binary")(f((2, 4)), f((2, 4), int), normalizer=2), ValueError, ["denominator"]),
    ("class list", lambda: L.DiceLoss("multiclass", classes=(1, 7))(logits, labels), ValueError, ["classes", "7", "3 classes"]),
    ("no such axis", lambda: L.CrossEntropyLoss(class_axis=3)(logits, labels), ValueError, ["class_axis", "(2, 3, 4)", "3"]),
    ("boxes of five", lambda: L.GIoULoss()(f((2, 5)), f((2, 5))), ValueError, ["(2, 5)", "four numbers"]),
    ("one class", lambda: L.HingeLoss("multiclass")(f((2, 1)), f(2, int)), ValueError, ["one class", "binary"]),
    ("one class of a softmax", lambda: L.DiceLoss("multiclass")(f((2, 1, 8, 8)), f((2, 8, 8), int)), ValueError, ["(2, 1, 8, 8)", "one class along axis 1", "task='binary'"]),
    ("one class of a sum", lambda: (L.DiceLoss("multiclass") + L.CrossEntropyLoss())(f((2, 1, 8)), f((2, 8), int)), ValueError, ["(2, 1, 8)", "one class along axis 1", "task='binary'"]),
    ("class weights of a part", lambda: (L.DiceLoss("multiclass") + L.CrossEntropyLoss(class_weight=(1, 2)))(logits, labels), ValueError, ["CrossEntropyLoss: `class_weight` has 2 numbers", "(2, 3, 4)", "3 classes"]),
    ("classes of a part", lambda: (L.CrossEntropyLoss() + L.DiceLoss("multiclass", classes=(1, 7)))(logits, labels), ValueError, ["DiceLoss: `classes` holds 7", "(2, 3, 4)", "3 classes"]),
    ("one outcome", lambda: L.KLDivLoss()(f((2, 1)), np.ones((2, 1))), ValueError, ["(2, 1)", "one class along axis 1", "task='binary'"]),
    ("one prototype", lambda: L.ArcFaceLoss()(f((2, 3)), f(2, int), prototypes=f((1, 3))), ValueError, ["prototypes", "(1, 3)", "one class"]),
    ("a classifier of one class", lambda: L.LinearCrossEntropyLoss()(f((2, 3)), f(2, int), weight=f((1, 3))), ValueError, ["weight", "(1, 3)", "one class"]),
    ("masked arrays", lambda: L.L1Loss()(np.ma.masked_array(np.ones(3), [0, 0, 1]), f(3)), TypeError, ["prediction", "MaskedArray", ".data", "getmaskarray"]),
    ("masked target", lambda: L.L1Loss()(f(3), np.ma.masked_array(np.ones(3), [0, 0, 1])), TypeError, ["target", "MaskedArray"]),
    ("subclass", lambda: L.MSELoss()(f(2).view(Squares), f(2)), TypeError, ["prediction", "Squares", "np.asarray(prediction)"]),
    ("complex target", lambda: L.L1Loss()(f(3), f(3) + 1j), TypeError, ["target", "complex128", "real"]),
    ("complex weight", lambda: L.L1Loss()(f(3), f(3), sample_weight=f(3) + 1j), TypeError, ["sample_weight", "complex128"]),
    ("complex operand", lambda: L.GaussianNLLLoss()(f(3), f(3), variance=f(3) + 1j), TypeError, ["variance", "complex128"]),
    ("ragged rows", lambda: L.L1Loss()(f(2), np.array([[1.0], [1.0, 2.0]], dtype=object)), TypeError, ["target", "object", "pad"]),
    ("text", lambda: L.L1Loss()(f(2), np.array(["a", "b"])), TypeError, ["target", "<U1"]),
    ("sparse tensor", lambda: L.L1Loss()(torch.ones(3), torch.ones(3).to_sparse()), TypeError, ["target", "sparse", "to_dense"]),
    ("label beyond 32 bits in 64", lambda: L.CrossEntropyLoss()(f((2, 2)), np.array([0, 2**32 + 1], "u8")), ValueError, ["label 4294967297 at [1]"]),
    ("label beyond int32", lambda: L.CrossEntropyLoss(ignore_index=-1)(f((2, 2)), np.array([0, 2**32 - 1], "u4")), ValueError, ["label 4294967295 at [1]"]),
    ("label beyond int64", lambda: L.CrossEntropyLoss(ignore_index=-1)(torch.zeros(2, 2), torch.from_numpy(np.array([0, 2**64 - 1], "u8"))), ValueError, ["label 18446744073709551615 at [1]"]),
    ("big-endian label", lambda: L.CrossEntropyLoss()(f((2, 2)), np.array([0, 5], ">i8")), ValueError, ["label 5 at [1]"]),
    ("soft one-hot", lambda: L.LovaszSoftmaxLoss()(logits, np.full((2, 3, 4), 0.0)), ValueError, ["one-hot along axis 1", "[0, 0]", "argmax(1)"]),
    ("class indices of several labels", lambda: L.BCELoss("multilabel")(f((2, 3)), f(2, int)), ValueError, ["(2, 3)", "(2,)", "one-hot"]),
    ("no prototypes", lambda: L.ArcFaceLoss()(f((2, 3)), f(2, int)), TypeError, ["the call needs `prototypes`"]),
    ("prototypes of another length", lambda: L.ArcFaceLoss()(f((2, 3)), f(2, int), prototypes=f((4, 5))), ValueError, ["prototypes", "(4, 5)", "(classes, 3)"]),
    ("a label without prototype", lambda: L.CosFaceLoss()(f((2, 3)), f(2, int) + 4, prototypes=f((4, 3))), ValueError, ["label 4 at [0] is not in [0, 3]"]),
    ("weights of other classes", lambda: L.CenterLoss(class_weight=(1, 2))(f((2, 3)), f(2, int), centers=f((4, 3))), ValueError, ["class_weight", "2 numbers", "4 classes"]),
    ("negative annealing", lambda: L.SphereFaceLoss()(f((2, 3)), f(2, int), prototypes=f((4, 3)), annealing=-1), ValueError, ["annealing", "at least 0", "-1"]),
    ("endless annealing", lambda: L.SphereFaceLoss()(f((2, 3)), f(2, int), prototypes=f((4, 3)), annealing=math.inf), ValueError, ["annealing", "finite", "inf"]),
    ("annealing by sample", lambda: L.SphereFaceLoss()(f((2, 3)), f(2, int), prototypes=f((4, 3)), annealing=f(2)), ValueError, ["annealing", "one number", "(2,)"]),
    ("integer prototypes", lambda: L.ArcFaceLoss()(f((2, 3)), f(2, int), prototypes=f((4, 3), int)), TypeError, ["prototypes", "floating"]),
    ("labels of features", lambda: L.SupConLoss()(f((2, 3)), f(3, int)), ValueError, ["target", "(3,)", "(2,)"]),
    ("float labels of features", lambda: L.SupConLoss()(f((2, 3)), f(2)), TypeError, ["target", "integers", "float64"]),
    ("no features", lambda: L.SupConLoss()(f(()), f((), int)), ValueError, ["prediction", "features along its last axis", "()"]),
    ("unknown argument", lambda: L.MSELoss()(f(1), f(1), weight=f(1)), TypeError, ["weight"]),
    ("normalizer without reduction", lambda: L.MSELoss(reduction="none")(f(1), f(1), normalizer=2), ValueError, ["normalizer", "reduction"]),
    ("lengths of other sequences", lambda: L.CTCLoss()(f((2, 3, 4)), f((2, 1), int) + 1, lengths=f(1, int)), ValueError, ["`lengths` has shape (1,); expected (2,), a number for each sequence"]),
    ("negative normalizer", lambda: L.MSELoss()(f(1), f(1), normalizer=-2), ValueError, ["normalizer", "at least 0", "-2"]),
    ("normalizers", lambda: L.MSELoss()(f(2), f(2), normalizer=f(2)), ValueError, ["normalizer", "one number", "(2,)"]),
    ("normalizer of no kind", lambda: L.MSELoss()(f(2), f(2), normalizer=[2]), TypeError, ["normalizer", "a number or a 0-d array", "list"]),
    ("statistics without reduction", lambda: L.MSELoss(reduction="none").statistics(f(1), f(1)), ValueError, ["statistics", "reduction='none'"]),
    ("a sum of nothing", lambda: L.SumLoss(()), ValueError, ["at least one"]),
    ("normalizer of a sum", lambda: (L.L1Loss() + L.NormLoss())(f((1, 2)), f((1, 2)), normalizer=2), ValueError, ["denominator", "a number for each part (l1, norm)"]),
    ("shapes of a sum", lambda: (L.DiceLoss("multiclass", reduction="none") + L.CrossEntropyLoss(reduction="none"))(logits, labels), ValueError, ["dice (2, 3)", "cross_entropy (2, 4)"]),
]

OPTIONS: list[tuple[str, Callable[[], Any], type[Exception], list[str]]] = [
    ("below the domain", lambda: L.FocalLoss("binary", gamma=-1.0), ValueError, ["`gamma` must be at least 0; got -1.0"]),
    ("at an open bound", lambda: L.HuberLoss(delta=0), ValueError, ["`delta` must be above 0; got 0"]),
    ("above the domain", lambda: L.BCELoss(label_smoothing=1.0), ValueError, ["`label_smoothing`", "[0, 1)", "1.0"]),
    ("not a number", lambda: L.FocalLoss("binary", gamma=float("nan")), ValueError, ["gamma", "nan"]),
    ("a string", lambda: L.HuberLoss(delta="1"), ValueError, ["`delta` must be a number above 0; got '1'"]),
    ("a bool", lambda: L.HuberLoss(delta=True), TypeError, ["`delta` must be a number above 0; got True"]),
    ("an infinite number", lambda: L.FocalLoss("binary", gamma=math.inf), ValueError, ["`gamma` must be at least 0, and not infinite; got inf"]),
    ("an infinite count", lambda: L.LogitAdjustedLoss(counts=(1, math.inf)), ValueError, ["`counts[1]` must be above 0, and not infinite; got inf"]),
    ("weights that learn", lambda: L.CrossEntropyLoss(class_weight=torch.ones(2, requires_grad=True)), TypeError, ["class_weight", "a sequence of numbers", "tolist()"]),
    ("no bool", lambda: L.DiceLoss("binary", squared=2), ValueError, ["squared", "2"]),
    ("unknown choice", lambda: L.MSELoss(reduction="avg"), ValueError, ["reduction", "'mean'", "'weighted_mean'", "'avg'"]),
    ("unknown task", lambda: L.FocalLoss("multi"), ValueError, ["task", "'multiclass'", "'multi'"]),
    ("task of another loss", lambda: L.BCELoss("multiclass"), ValueError, ["task", "'binary'", "'multiclass'"]),
    ("negative weight", lambda: L.CrossEntropyLoss(class_weight=(1, -1)), ValueError, ["class_weight[1]", "-1"]),
    ("no weights", lambda: L.CrossEntropyLoss(class_weight=()), ValueError, ["class_weight", "empty"]),
    ("weights without classes", lambda: L.FocalLoss("binary", class_weight=(1, 2)), ValueError, ["class_weight", "binary"]),
    ("alpha of one number", lambda: L.FocalLoss("multiclass", alpha=0.25), ValueError, ["alpha", "per class", "0.25"]),
    ("alpha of many", lambda: L.FocalLoss("binary", alpha=(0.25, 0.75)), ValueError, ["alpha", "one number"]),
    ("counts of a binary task", lambda: L.ClassBalancedLoss("binary", counts=(1, 2, 3)), ValueError, ["counts", "two numbers", "3"]),
    ("a class that never occurs", lambda: L.LogitAdjustedLoss(counts=(1, 0)), ValueError, ["counts[1]", "above 0", "0"]),
    ("q of cross entropy", lambda: L.GeneralizedCrossEntropyLoss(q=0), ValueError, ["q", "(0, 1]", "0"]),
    ("alpha above 1", lambda: L.FocalLoss("binary", alpha=2), ValueError, ["alpha", "[0, 1]", "2"]),
    ("weights of positives without classes", lambda: L.BCELoss(pos_weight=(1, 2)), ValueError, ["pos_weight", "multilabel"]),
    ("fraction of a class", lambda: L.CrossEntropyLoss(ignore_index=1.5), ValueError, ["ignore_index", "1.5"]),
    ("class list of a binary task", lambda: L.DiceLoss("binary", classes=(0,)), ValueError, ["classes", "binary"]),
    ("squares of absolute errors", lambda: L.DiceLoss("binary", squared=True, soft="l1"), ValueError, ["squared=True", "soft"]),
    ("squared errors twice", lambda: L.SensitivitySpecificityLoss("binary", soft="l1"), ValueError, ["squared=True", "soft"]),
    ("unreduced compound", lambda: L.ComboLoss("binary", reduction="none"), ValueError, ["reduction", "'mean'", "'none'"]),
    ("Dice without smooth in a logarithm", lambda: L.ExpLogLoss("binary", smooth=0), ValueError, ["smooth", "above 0"]),
    ("frequencies of a binary task", lambda: L.ExpLogLoss("binary", counts=(1, 2, 3)), ValueError, ["counts", "two numbers", "3"]),
    ("class list of a binary compound", lambda: L.UnifiedFocalLoss("binary", classes=(0,)), ValueError, ["classes", "binary"]),
    ("half an angle", lambda: L.LargeMarginSoftmaxLoss(margin=2.5), ValueError, ["`margin` must be an integer at least 1; got 2.5"]),
    ("no temperature", lambda: L.SupConLoss(temperature=0), ValueError, ["temperature", "above 0", "0"]),
    ("unknown triplets", lambda: L.TripletLoss(mining="easy"), ValueError, ["mining", "'semihard'", "'easy'"]),
    ("missing task", lambda: L.create("focal"), ValueError, ["task"]),
    ("unknown option", lambda: L.create("huber", detla=2), ValueError, ["detla", "'delta'"]),
    ("unknown loss", lambda: L.find("focl"), ValueError, ["'focl'", "focal"]),
    ("nothing near", lambda: L.find("zzzz"), ValueError, ["zzzz", "lossary list"]),
    ("no class name", lambda: L.from_dict({"gamma": 2}), ValueError, ["'loss'"]),
]


def outside(domain: Domain) -> list[float]:
    """Numbers just beyond the ends of a domain, and what is no number of it anywhere."""
    bad = [float("nan")]
    if math.isfinite(domain.low):
        bad += [domain.low - 1e-3] + [domain.low] * domain.above
    if math.isfinite(domain.high):
        bad += [domain.high + 1e-3] + [domain.high] * domain.below
    return bad + [end for end in (-math.inf, math.inf) if end not in domain]


CHECKED: list[tuple[str, Callable[[], Any], list[str]]] = [
    ("0/255 mask", lambda: L.BCELoss()(f(3), np.array([0.0, 255, 0])), ["target", "[0, 1]", "255 at [1]", "mask > 127"]),
    ("0/255 image", lambda: L.DiceLoss("binary")(images, 255.0 * (images > 0)), ["DiceLoss", "target", "[0, 1]", "255", "mask > 127"]),
    ("0/255 image of a compound", lambda: L.ComboLoss("binary")(images, 255.0 * (images > 0)), ["target", "[0, 1]", "255", "mask > 127"]),
    ("probabilities of regions", lambda: L.DiceLoss("multiclass")(softmax(logits), labels), ["prediction", "probabilities", "from_logits=False"]),
    ("probabilities of sorted errors", lambda: L.LovaszSoftmaxLoss()(softmax(logits), labels), ["prediction", "probabilities", "from_logits=False"]),
    ("sigmoids of a hinge", lambda: L.LovaszHingeLoss("binary")(1 / (1 + np.exp(-images)), images > 0), ["prediction", "probabilities"]),
    ("sigmoids of a compound", lambda: L.UnifiedFocalLoss("binary")(1 / (1 + np.exp(-images)), images > 0), ["prediction", "probabilities"]),
    ("classes last of two images", lambda: L.DiceLoss("multilabel")(f((2, 8, 8, 3)), f((2, 8, 8, 3), int)), ["(2, 8, 8, 3)", "3 classes", "class_axis=-1"]),
    ("classes last of one-hot", lambda: L.JaccardLoss("multiclass")(f((2, 8, 8, 3)), np.eye(3)[f((2, 8, 8), int)]), ["(2, 8, 8, 3)", "class_axis=-1"]),
    ("classes last of cross entropy", lambda: L.CrossEntropyLoss()(f((2, 9, 7, 3)), np.eye(3)[f((2, 9, 7), int)]), ["(2, 9, 7, 3)", "class_axis=-1"]),
    ("probabilities as logits", lambda: L.CrossEntropyLoss()(np.array([[0.9, 0.1], [0.2, 0.8]]), f(2, int)), ["prediction", "probabilities", "from_logits=False"]),
    ("logits as probabilities", lambda: L.BCELoss(from_logits=False)(np.array([3.0]), f(1)), ["prediction", "[0, 1]", "3 at [0]"]),
    ("no distribution", lambda: L.CrossEntropyLoss()(f((1, 3)), np.array([[2.0, 0, 5]])), ["target", "distribution", "[0]"]),
    ("no probabilities", lambda: L.CrossEntropyLoss(from_logits=False)(np.array([[0.5, 0.2]]), f(1, int)), ["prediction", "distribution"]),
    ("NaN target", lambda: L.MSELoss()(f(2), np.array([0.0, np.nan])), ["target", "nan at [1]"]),
    ("inverted box", lambda: L.GIoULoss()(np.array([[[0.0, 0, 1, 1], [2, 2, 0, 0]]]), f((1, 2, 4))), ["prediction", "[0, 1]", "negative"]),
    ("quality above 1", lambda: L.QualityFocalLoss()(f(2), np.array([0.5, 1.5])), ["QualityFocalLoss", "target", "[0, 1]", "1.5 at [1]"]),
    ("probability below 0", lambda: L.FocalLoss("binary", from_logits=False)(np.array([0.5, -0.1]), f(2, int)), ["prediction", "[0, 1]", "-0.1 at [1]"]),
    ("negative log-probabilities", lambda: L.KLDivLoss(prediction_form="log_probs")(f((1, 2)), np.array([[0.5, 0.5]])), ["exp(prediction)", "distribution"]),
    ("heat above 1", lambda: L.AdaptiveWingLoss()(f(1), f(1) + 2), ["target", "[0, 1]", "2 at [0]"]),
    ("negative count", lambda: L.PoissonNLLLoss()(f(1), f(1) - 1), ["target", "at least 0", "-1 at [0]"]),
    ("negative variance", lambda: L.GaussianNLLLoss()(f(1), f(1), variance=f(1) - 1), ["variance", "at least 0", "-1 at [0]"]),
    ("negative annealing in an array", lambda: L.SphereFaceLoss()(f((2, 3)), f(2, int), prototypes=f((4, 3)), annealing=np.array(-1.0)), ["annealing", "at least 0", "-1"]),
    ("negative distribution", lambda: L.KLDivLoss()(f((1, 2)), np.array([[-0.5, 1.5]])), ["target", "distribution"]),
]

# fmt: on


def says(error: pytest.ExceptionInfo[Exception], words: list[str]) -> None:
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(("call", "kind", "words"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])
def test_bad_calls(call: Callable[[], Any], kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as error:
        call()
    says(error, words)


@pytest.mark.parametrize(("call", "kind", "words"), [c[1:] for c in OPTIONS], ids=[c[0] for c in OPTIONS])
def test_bad_options(call: Callable[[], Any], kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as error:
        call()
    says(error, words)


@pytest.mark.parametrize("cls", L.catalogue(), ids=lambda cls: cls.__name__)
def test_numbers_outside_their_domain(cls: type[L.Loss]) -> None:
    """Every numeric option of every loss names itself, its domain and the number that it refuses."""
    task = {"task": cls.tasks()[0]} if "task" in [name for name, _, _ in cls.options()] else {}
    for name, field, annotation in cls.options():
        domain = field.metadata.get("domain", Domain())
        if choices(annotation) or "float" not in str(annotation) or domain == Domain():
            continue
        for number in outside(domain):
            for value in [number, (1.0, number)] if "Sequence" in str(annotation) else [number]:
                with pytest.raises((ValueError, TypeError)) as error:
                    cls(**task, **{name: value})
                assert name in str(error.value)
                assert str(number) in str(error.value)


@pytest.mark.parametrize(("call", "words"), [c[1:] for c in CHECKED], ids=[c[0] for c in CHECKED])
def test_bad_values_when_checked(call: Callable[[], Any], words: list[str]) -> None:
    with np.errstate(all="ignore"):
        call()  # unchecked, a value is not looked at
    with L.checked(), pytest.raises(ValueError, match=r"must|should|is") as error:
        call()
    says(error, words)


REGIONS = [x for x in defaults() if isinstance(x, (OverlapLoss, NamedSumLoss))]


@pytest.mark.parametrize("loss", REGIONS, ids=repr)
def test_no_hard_input_costs_less_than_nothing(loss: Any) -> None:
    """What only `checked` finds: unchecked, the number is of no use, but never below 0 (and NaN nowhere)."""
    rng = np.random.default_rng(2)
    z = rng.normal(size=(2, 3, 8, 8))
    mask = 255 * (rng.uniform(size=z.shape) < 0.3)
    label = rng.integers(0, 3, size=(2, 8, 8))
    one_hot = np.moveaxis(np.eye(3)[label], -1, 1)
    if loss.task == "multiclass":
        targets = [label, one_hot, 255 * one_hot]
    else:
        targets = [(mask > 0).astype(int), mask / 255, mask.astype(float)]
    for prediction in (z, 100 * z, softmax(z)):
        for target in targets[: 1 if isinstance(loss, LovaszLoss) else 3]:
            assert loss(prediction, target) >= 0
            last = loss(np.moveaxis(prediction, 1, -1), np.moveaxis(target, 1, -1)) if target.ndim == 4 else 0
            assert last >= 0


def test_good_values_pass_the_checks() -> None:
    with L.checked():
        for cls in L.catalogue():
            for loss in variants(cls):
                for dense in {False, takes_dense(loss) and loss.ignore_index is None}:
                    batch = draw(loss, dense=dense)
                    loss(batch.prediction, batch.target, **batch.keywords)


def test_numpy_numbers_stand_beside_any_array() -> None:
    x, y, prototypes = torch.ones(2, 3), torch.zeros(2, dtype=torch.int64), torch.eye(3)
    loss = L.SphereFaceLoss(margin=2)
    for number in (2, 2.0, np.float32(2), np.float64(2), np.array(2.0)):
        assert L.MSELoss()(x, x + 1, normalizer=number) == 3
    for number in (2, np.float32(2), np.float64(2), torch.tensor(2.0)):
        assert loss(x, y, prototypes=prototypes, annealing=number) == loss(x, y, prototypes=prototypes, annealing=2.0)


def test_checks_end_with_their_block() -> None:
    with L.checked():
        pass
    assert np.isnan(L.MSELoss()(np.array([np.nan]), f(1)))


def test_unknown_sizes_match_any() -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, 3)), tf.TensorSpec((None,), tf.int32)])
    def run(x: Any, y: Any) -> Any:
        return L.CrossEntropyLoss()(x, y)

    assert run(tf.zeros((2, 3)), tf.zeros(2, tf.int32)).numpy() == pytest.approx(np.log(3))
    assert run(tf.zeros((0, 3)), tf.zeros(0, tf.int32)).numpy() == 0
