"""Losses for `model.compile`, on every backend of Keras 3."""

from lossary.core.extras import needed

with needed("lossary.keras", "keras"):
    from lossary.keras.keras_loss import KerasLoss

__all__ = ["KerasLoss"]
