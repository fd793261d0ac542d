"""Losses for `model.compile`, on every backend of Keras 3."""

from lossary.keras.keras_loss import KerasLoss

__all__ = ["KerasLoss"]
