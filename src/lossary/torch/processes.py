"""Statistics of all processes, summed, with the gradient that data parallelism needs.

Let s_r(θ) be the statistics of rank r, S = Σ_r s_r and L = f(S) the loss, the same on each of R ranks. The gradient of
the whole batch is dL/dθ = Σ_r f'(S)·∂s_r/∂θ. `DistributedDataParallel` and FSDP average what the ranks find,
(1/R) Σ_r g_r, so rank r has to find g_r = R·f'(S)·∂s_r/∂θ: the backward pass of the sum multiplies by R. Every rank
has the same f'(S), so the backward pass needs no communication.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, cast

import torch
import torch.distributed as dist
from torch import Tensor

Group: TypeAlias = "dist.ProcessGroup | Literal['world']"  # quoted: builds of torch without distributed lack the class
Tree: TypeAlias = Tensor | tuple[Any, ...]
"""A tensor, or a tuple or named tuple of such trees."""


def sum_over_processes(statistics: Tree, group: Group) -> Any:
    """The statistics of a loss summed over the processes of `group`, by one all-reduce.

    Args:
        statistics: what `loss.statistics(...)` gives: (nested) tuples of small tensors, of one shape on every rank.
        group: `"world"` for all processes, or a process group that this process belongs to.

    Returns:
        Statistics of the same structure. Their gradient is that of the local ones times the number of processes, so
        that the average over processes, which `DistributedDataParallel` takes, is the gradient of the whole batch.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise RuntimeError(
            "summing over processes needs torch.distributed; call torch.distributed.init_process_group(...) first, or "
            "pass process_group=None in a single process"
        )
    members = None if group == "world" else group
    if dist.get_rank(members) < 0:
        raise ValueError(f"`process_group` does not contain this process (rank {dist.get_rank()} of the world)")
    leaves = _leaves(statistics)
    local = torch.cat([leaf.reshape(-1) for leaf in leaves])
    buffer = cast("Tensor", _SumOverProcesses.apply(local, members))  # pyright: ignore[reportUnknownMemberType]
    parts = torch.split(buffer, [leaf.numel() for leaf in leaves])
    return _rebuild(statistics, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])


class _SumOverProcesses(torch.autograd.Function):
    """Forward: the sum over the processes of a group. Backward: the gradient times their number (see above)."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        local: Tensor, group: dist.ProcessGroup | None
    ) -> Tensor:
        total = local.clone()
        dist.all_reduce(total, group=group)  # pyright: ignore[reportUnknownMemberType]
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, dist.ProcessGroup | None], output: Tensor) -> None:
        ctx.processes = dist.get_world_size(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.processes, None


def _leaves(tree: Tree) -> list[Tensor]:
    """The tensors of nested tuples, in order."""
    if not isinstance(tree, tuple):
        return [tree]
    return [leaf for branch in tree for leaf in _leaves(branch)]


def _rebuild(tree: Tree, leaves: list[Tensor]) -> Any:
    """`tree` with its tensors replaced by `leaves`, which are used up."""
    if not isinstance(tree, tuple):
        return leaves.pop(0)
    branches = [_rebuild(branch, leaves) for branch in tree]
    return type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches)
