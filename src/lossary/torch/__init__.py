"""Losses as PyTorch modules, exact across processes and micro-batches."""

from lossary.torch.criterion import Criterion
from lossary.torch.processes import sum_over_processes

__all__ = ["Criterion", "sum_over_processes"]
