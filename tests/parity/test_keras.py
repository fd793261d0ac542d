"""The losses of Keras, computed in a process of their own: Keras has one backend a process."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import lossary as L
from parity.samples import distributions, images, masks, numbers, rows

KERAS = importlib.util.find_spec("keras") is not None
pytestmark = pytest.mark.skipif(not KERAS, reason="Keras is not installed: pip install lossary[keras]")

# reads {name: [class, options, y_true, y_pred]} and writes {name: value}
EVALUATE = """
import json, sys
import keras, numpy as np
cases = json.load(sys.stdin)
with keras.device("cpu"):
    values = {
        name: float(getattr(keras.losses, cls)(**options)(np.array(t), np.array(p, "float32")))
        for name, (cls, options, t, p) in cases.items()
    }
print(json.dumps(values))
"""


def last(x):
    """Classes on the last axis, as Keras has them."""
    return np.moveaxis(x.numpy(), 1, -1)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def cases():
    """Name: (ours, prediction, target), (Keras class, options, y_true, y_pred)."""
    x, y = (v.numpy() for v in numbers())
    z, t = (v.numpy() for v in rows())
    _, d = (v.numpy() for v in distributions())
    image, labels = last(images()[0]), images()[1].numpy()
    mask, hard, soft = (v.numpy() for v in masks())
    signs = np.where(hard > 0, 1, -1)
    return {
        "mae": ((L.L1Loss(), x, y), ("MeanAbsoluteError", {}, y, x)),
        "mse": ((L.MSELoss(), x, y), ("MeanSquaredError", {}, y, x)),
        "huber": ((L.HuberLoss(delta=1.7), x, y), ("Huber", {"delta": 1.7}, y, x)),
        "log cosh": ((L.LogCoshLoss(), x, y), ("LogCosh", {}, y, x)),
        "mape": ((100 * L.MAPELoss(), x, y), ("MeanAbsolutePercentageError", {}, y, x)),
        "msle": ((L.MSLELoss(), abs(x), abs(y)), ("MeanSquaredLogarithmicError", {}, abs(y), abs(x))),
        "poisson": ((L.PoissonNLLLoss(log_input=False), abs(x), abs(y)), ("Poisson", {}, abs(y), abs(x))),
        "cross entropy": (
            (L.CrossEntropyLoss(class_axis=-1), image, labels),
            ("SparseCategoricalCrossentropy", {"from_logits": True}, labels, image),
        ),
        "smoothed": (
            (L.CrossEntropyLoss(label_smoothing=0.2), z, d),
            ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, d, z),
        ),
        "bce": ((L.BCELoss(), mask, soft), ("BinaryCrossentropy", {"from_logits": True}, soft, mask)),
        "smoothed bce": (
            (L.BCELoss(label_smoothing=0.2), mask, hard),
            ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, hard, mask),
        ),
        "focal": (
            (L.FocalLoss("binary", gamma=1.5, alpha=0.3), mask, hard),
            (
                "BinaryFocalCrossentropy",
                {"from_logits": True, "gamma": 1.5, "alpha": 0.3, "apply_class_balancing": True},
                hard,
                mask,
            ),
        ),
        # its alpha is a factor of all classes, .25 by default
        "softmax focal": (
            (0.25 * L.FocalLoss("multiclass"), z, t),
            ("CategoricalFocalCrossentropy", {"from_logits": True}, np.eye(4)[t], z),
        ),
        "kl": ((L.KLDivLoss(prediction_form="probs"), d[::-1].copy(), d), ("KLDivergence", {}, d, d[::-1])),
        "hinge": ((L.HingeLoss("binary"), mask, signs), ("Hinge", {}, signs, mask)),
        "squared hinge": ((L.HingeLoss("binary", power=2), mask, signs), ("SquaredHinge", {}, signs, mask)),
        # joins batch and classes; its epsilon of 1e-7 is added to the denominator
        "dice": (
            (L.DiceLoss("binary", per="batch", smooth=0), mask, hard),
            ("Dice", {}, hard, sigmoid(mask)),
        ),
        # Keras 3.15 documents alpha for false positives and beta for false negatives, and weighs them the other way
        "tversky": (
            (L.TverskyLoss("binary", per="batch", smooth=0, fp_weight=0.7, fn_weight=0.3), mask, hard),
            ("Tversky", {"alpha": 0.3, "beta": 0.7}, hard, sigmoid(mask)),
        ),
    }


@pytest.fixture(scope="module")
def keras_values():
    sent = {name: [*call[:2], *(np.asarray(a).tolist() for a in call[2:])] for name, (_, call) in cases().items()}
    environment = {**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", EVALUATE]
    result = subprocess.run(
        command, input=json.dumps(sent), env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", cases())
def test_value(name, keras_values):
    (loss, prediction, target), _ = cases()[name]
    assert float(loss(prediction, target)) == pytest.approx(keras_values[name], rel=2e-5)
