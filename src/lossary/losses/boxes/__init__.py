"""Boxes: losses of the geometry between a predicted and a true box."""

# ruff: noqa: I001 (the order of these imports is the order of the catalogue)
from lossary.losses.boxes.overlap import AlphaIoULoss, GIoULoss, InnerIoULoss, IoULoss
from lossary.losses.boxes.distance import CIoULoss, DIoULoss, EIoULoss, FocalEIoULoss
from lossary.losses.boxes.corner import CDIoULoss, MPDIoULoss, SIoULoss, WIoULoss
from lossary.losses.boxes.rotated import GWDLoss, KLDBoxLoss, ProbIoULoss

__all__ = [
    "AlphaIoULoss",
    "CDIoULoss",
    "CIoULoss",
    "DIoULoss",
    "EIoULoss",
    "FocalEIoULoss",
    "GIoULoss",
    "GWDLoss",
    "InnerIoULoss",
    "IoULoss",
    "KLDBoxLoss",
    "MPDIoULoss",
    "ProbIoULoss",
    "SIoULoss",
    "WIoULoss",
]
