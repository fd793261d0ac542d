"""The losses, one module a field: the table of contents of the catalogue, in the order in which it lists them."""

# ruff: noqa: I001 (the order of these imports is the order of the catalogue)
from lossary.losses import regression
from lossary.losses import likelihood
from lossary.losses import margin
from lossary.losses import divergence
from lossary.losses import embedding
from lossary.losses import boxes
from lossary.losses import region
from lossary.losses import boundary
from lossary.losses import structure
from lossary.losses import sequence

__all__ = [
    "boundary",
    "boxes",
    "divergence",
    "embedding",
    "likelihood",
    "margin",
    "region",
    "regression",
    "sequence",
    "structure",
]
