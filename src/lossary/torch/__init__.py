"""Losses as PyTorch modules, with their prototypes or centres, exact across processes and micro-batches."""

from lossary.core.extras import needed

with needed("lossary.torch", "torch"):
    from lossary.torch.criterion import Criterion
    from lossary.torch.processes import gather_over_processes, sum_over_processes
    from lossary.torch.prototypes import Prototypes
    from lossary.torch.trainer import TrainerLoss

__all__ = ["Criterion", "Prototypes", "TrainerLoss", "gather_over_processes", "sum_over_processes"]
