"""A loss as a `keras.losses.Loss`."""

# Keras has no type stubs
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

import keras
from keras import ops
from keras.src.backend import get_keras_mask  # Keras has no public name for it

from lossary.array.namespace import Array
from lossary.array.primitives import sizes
from lossary.core.catalogue import from_dict
from lossary.core.compound import CompoundLoss, SumLoss
from lossary.core.compound.terms import outputs_of
from lossary.core.loss import Loss


@keras.saving.register_keras_serializable(package="lossary")
class KerasLoss(keras.losses.Loss):
    """A loss in the form that `model.compile(loss=...)` takes, on the TensorFlow, JAX and torch backends.

    It turns the arguments around (Keras gives the target first), expects classes on the last axis, and is saved with
    the model. Labels reach the loss as the integers that they are; the losses of Keras cast them to a float, where
    label 257 becomes 256 in bfloat16. Labels of shape (N, 1), as Keras data sets have them, are taken as (N,), and a
    target of shape (N,) fits a prediction of (N, 1). Sample weights, `class_weight=` of `fit` and the masks of
    `Embedding(mask_zero=True)` enter as `sample_weight` and `mask` of the loss.

    Args:
        loss: any loss, sums included. Its `reduction` counts; Keras does not reduce once more.
        class_axis: replaces the `class_axis` of the loss and of the parts of a sum, where they have one.
        name: shown by Keras; the short name of the loss if None.

    Raises:
        ValueError: a loss of several outputs (`on`), of which Keras takes a dict of losses, or one that needs operands,
            which Keras has no way to pass.

    The logs show the mean over batches of the loss of each batch. Under `tf.distribute` the mean of a batch is the mean
    of its replicas' means, as for the losses of Keras.

    >>> import lossary
    >>> KerasLoss(lossary.FocalLoss("multiclass"))
    KerasLoss(FocalLoss('multiclass', class_axis=-1))
    """

    def __init__(self, loss: Loss, class_axis: int = -1, name: str | None = None) -> None:
        if not isinstance(loss, Loss):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"`loss` must be a loss such as lossary.CrossEntropyLoss(); got {loss!r}")
        if outputs_of(loss):
            parts = ", ".join(f"{output!r}: KerasLoss(...)" for output in outputs_of(loss))
            raise ValueError(
                f"Keras gives a loss one output at a time, and {loss!r} reads outputs by name: "
                f"pass compile(loss={{{parts}}}, loss_weights={{...}}), each KerasLoss with the losses of its output"
            )
        needed = _needed(loss)
        if needed:
            raise ValueError(
                f"{loss!r} needs {', '.join(f'`{name}`' for name in needed)}, and Keras passes target and prediction "
                "alone: override `compute_loss` of the model and call the loss there"
            )
        super().__init__(name=name or loss.short_name(), reduction="none")
        self.loss = _with_class_axis(loss, class_axis)
        self.class_axis = class_axis

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Array:
        mask = get_keras_mask(y_pred)
        prediction, target = ops.convert_to_tensor(y_pred), ops.convert_to_tensor(y_true)
        if sample_weight is not None:
            sample_weight = _without_trailing_one(ops.convert_to_tensor(sample_weight))
        target = _aligned(self.loss, prediction, target)
        return _on_each_replica(self.loss)(prediction, target, mask=mask, sample_weight=sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Array:
        return self(y_true, y_pred)

    def __repr__(self) -> str:
        return f"KerasLoss({self.loss!r})"

    def get_config(self) -> dict[str, Any]:
        # through JSON, because Keras would wrap the tuples of class weights and not unwrap them
        loss = json.loads(json.dumps(self.loss.to_dict()))
        return {"loss": loss, "class_axis": self.class_axis, "name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(from_dict(config["loss"]), class_axis=config["class_axis"], name=config["name"])


def _needed(loss: Loss) -> list[str]:
    """The operands that a call must have."""
    if isinstance(loss, CompoundLoss):
        own = [] if loss.weighed_by is None else [loss.weighed_by]
        return list(dict.fromkeys([*own, *(name for _, part in loss.pairs for name in _needed(part))]))
    return [name for name in loss.takes if name not in loss.optional]


def _with_class_axis(loss: Loss, axis: int) -> Loss:
    if isinstance(loss, SumLoss):
        return SumLoss(tuple((weight, _with_class_axis(part, axis)) for weight, part in loss.terms))
    return loss.replace(class_axis=axis) if hasattr(loss, "class_axis") else loss


def _aligned(loss: Loss, prediction: Array, target: Array) -> Array:
    """The target without a last axis of length 1 that the loss has no use for, or with one that the prediction has."""
    more = len(sizes(target)) - len(sizes(prediction))
    if more == 1 or (more == 0 and not _ends_in_one(prediction)):  # (N, 1) beside scores (N,) or logits (N, C)
        target = _without_trailing_one(target)
    if len(sizes(target)) != len(sizes(prediction)) - 1:
        return target
    if any(getattr(part, "task", None) == "multiclass" for _, part in SumLoss.of(loss).terms):
        # labels; Keras itself makes floats of them when it builds a model under tf.distribute
        return ops.cast(target, "int32") if keras.backend.is_float_dtype(target.dtype) else target
    return ops.expand_dims(target, -1) if _ends_in_one(prediction) else target  # (N,) beside scores (N, 1)


def _without_trailing_one(x: Array) -> Array:
    """`x` without a last axis of length 1, unless it is the only one. A sample weight means the same without it, since
    the leading axes of a shape may stand for the shape."""
    return ops.squeeze(x, -1) if _ends_in_one(x) and len(sizes(x)) > 1 else x


def _ends_in_one(x: Array) -> bool:
    return sizes(x)[-1:] == (1,)


def _on_each_replica(loss: Loss) -> Loss:
    """Under `tf.distribute`, means are divided by the number of replicas, since Keras adds their gradients up."""
    if keras.backend.backend() != "tensorflow":
        return loss
    import tensorflow as tf

    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas == 1:
        return loss
    terms = SumLoss.of(loss).terms
    return SumLoss(tuple((w if part.reduction in ("sum", "none") else w / replicas, part) for w, part in terms))
