"""Statistics of all processes, summed, and features of all processes, gathered, with the gradient that data parallelism
needs.

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
    members = _members(group)
    leaves = _leaves(statistics)
    local = torch.cat([leaf.reshape(-1) for leaf in leaves])
    buffer = cast("Tensor", _SumOverProcesses.apply(local, members))  # pyright: ignore[reportUnknownMemberType]
    parts = torch.split(buffer, [leaf.numel() for leaf in leaves])
    return _rebuild(statistics, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])


def _members(group: Group) -> dist.ProcessGroup | None:
    """The group as `torch.distributed` takes it, checked."""
    if not (dist.is_available() and dist.is_initialized()):
        raise RuntimeError(
            "summing or gathering over processes needs torch.distributed; call "
            "torch.distributed.init_process_group(...) first. In a single process there is nothing to gather, and "
            "process_group=None sums nothing"
        )
    members = None if group == "world" else group
    if dist.get_rank(members) < 0:
        raise ValueError(f"`process_group` does not contain this process (rank {dist.get_rank()} of the world)")
    return members


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
    # not the constructor of a named tuple, which Dynamo cannot call of statistics: their type is made as they are
    return tuple.__new__(type(tree), branches)  # pyright: ignore[reportUnknownMemberType]


# --- features of all processes ----------------------------------------------------------------------------------------


def gather_over_processes(*tensors: Tensor, group: Group = "world") -> tuple[Tensor, ...]:
    """Tensors of all processes of `group` joined along their first axis, in the order of ranks, with their gradient.

    For losses that compare the features of a batch with each other (`decomposable` is False), where the batch is spread
    over processes: give the loss the gathered features and labels on every rank.

        features, labels = gather_over_processes(model(x), labels)
        lossary.InfoNCELoss()(features, labels).backward()

    The gradient of a rank's own rows is the sum of what all ranks find for them, so that the average over processes,
    which `DistributedDataParallel` takes, is the gradient of the mean of the ranks' losses: if each takes the loss of
    all features, that of the whole batch. `torch.distributed.all_gather` passes no gradient to other ranks' rows, which
    makes it 1/world as large.

    Args:
        tensors: of one dtype and shape on every rank, but for the length of the first axis; features, labels, masks.
        group: `"world"` for all processes, or a process group that this process belongs to.

    Returns:
        A tensor for each, on every rank the same.
    """
    members = _members(group)
    return tuple(cast("Tensor", _Gather.apply(tensor, members)) for tensor in tensors)  # pyright: ignore[reportUnknownMemberType]


class _Gather(torch.autograd.Function):
    """Forward: the rows of all ranks. Backward: the sum over ranks of the gradient, own rows only."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, group: dist.ProcessGroup | None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        rank, world = dist.get_rank(group), dist.get_world_size(group)
        lengths = [torch.zeros(1, dtype=torch.int64, device=own.device) for _ in range(world)]
        dist.all_gather(lengths, torch.tensor([len(own)], device=own.device), group=group)  # pyright: ignore[reportUnknownMemberType]
        counts = [int(length) for length in lengths]
        # collectives want one shape on every rank: shorter shards are padded on the way
        padded = own.new_zeros((max(counts), *own.shape[1:]))
        padded[: len(own)] = own
        shards = [torch.empty_like(padded) for _ in range(world)]
        dist.all_gather(shards, padded, group=group)  # pyright: ignore[reportUnknownMemberType]
        ctx.group, ctx.rows = group, slice(sum(counts[:rank]), sum(counts[: rank + 1]))
        return torch.cat([shard[:count] for shard, count in zip(shards, counts, strict=True)])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total, group=ctx.group)  # pyright: ignore[reportUnknownMemberType]
        return total[ctx.rows], None
