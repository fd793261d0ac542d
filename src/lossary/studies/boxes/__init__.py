"""Box regression without a network: what the gradient of a loss alone does to a box."""

from lossary.studies.boxes.experiment import CASES, Cases, Regression, simulate

__all__ = ["CASES", "Cases", "Regression", "simulate"]
