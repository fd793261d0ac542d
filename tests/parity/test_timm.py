"""The losses of timm, which comes with segmentation-models-pytorch."""

from __future__ import annotations

import pytest
import torch

import lossary as L
from parity.samples import CLASSES, rows, same

timm = pytest.importorskip("timm.loss", reason="timm is in .venv-peers: make parity")


def labels():
    logits, target = rows()
    return logits, torch.nn.functional.one_hot(target, CLASSES).double()


@pytest.mark.parametrize("gammas", [(0.0, 4.0), (1.0, 4.0), (2.0, 2.0)])
@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_asymmetric(gammas, clip):
    """A sum over the classes, divided by the number of samples. It computes in float32."""
    z, t = labels()
    positive, negative = gammas
    ours = L.AsymmetricLoss("multilabel", gamma_pos=positive, gamma_neg=negative, clip=clip)
    theirs = timm.AsymmetricLossMultiLabel(gamma_pos=positive, gamma_neg=negative, clip=clip)
    same(lambda z: CLASSES * ours(z, t), lambda z: theirs(z, t), z, rtol=1e-5, atol=1e-6)


def test_smoothed_cross_entropy():
    z, t = rows()
    theirs = timm.LabelSmoothingCrossEntropy(0.2)
    same(lambda z: L.CrossEntropyLoss(label_smoothing=0.2)(z, t), lambda z: theirs(z, t), z)


def test_smoothed_bce_spreads_over_the_classes():
    (z, t), one_hot = rows(), labels()[1]
    smoothed = 0.8 * one_hot + 0.2 / CLASSES
    same(lambda z: L.BCELoss()(z, smoothed), lambda z: timm.BinaryCrossEntropy(0.2)(z, t), z, rtol=1e-6)
