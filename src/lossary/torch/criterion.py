"""A loss as an `nn.Module`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from torch import Tensor, nn

from lossary.core.compound import CompoundLoss, OutputLoss
from lossary.core.loss import Loss
from lossary.core.reduction import Reduction
from lossary.torch.processes import Group, sum_over_processes

Outputs: TypeAlias = Tensor | Mapping[str, Tensor]
"""A tensor, or one for each output of the model."""


class Criterion(nn.Module):
    """A loss as a module of PyTorch, and the exact loss of a batch that is spread over several processes.

    A loss works in a torch loop as it is. Take this one where a module is asked for, or where the batch is spread: the
    mean of the ranks' means is not the mean of the batch as soon as they count unequal numbers of elements.

    Args:
        loss: any loss, sums included; read it back from `criterion.loss`.
        learned: operands of the loss that are trained, by name: `{"log_variances": torch.zeros(2)}`. The module owns
            them as parameters, so that an optimiser finds them and `state_dict` stores them, and passes them in every
            call. A parameter of the model (the weight of its last layer) stays one parameter.
        process_group: None (default) looks at this process only. `"world"` or a `torch.distributed` process group adds
            the statistics of all its processes up before the loss is taken, so that each process has the loss of the
            whole batch, and the gradients that `DistributedDataParallel` or FSDP averages are its gradient. (torch's
            own `group.WORLD` is None before `init_process_group`; `"world"` is looked up at the call, and can be
            pickled.) All its processes must call the criterion the same number of times. `reduction="none"` averages
            nothing and communicates nothing.

    Raises:
        ValueError: a process group for a loss whose statistics do not add up (`loss.decomposable` is False).

    >>> import lossary, torch
    >>> criterion = Criterion(lossary.FocalLoss("multiclass", gamma=1.0))
    >>> criterion
    Criterion(FocalLoss('multiclass', gamma=1.0))
    >>> criterion(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    tensor(0.0151)

    **Gradient accumulation** has the same trap: micro-batches of unequal counts must not be averaged. Where the
    denominator is known before the first forward pass, as the number of valid labels is, pass it as `normalizer`; what
    the micro-batches return then adds up to the loss of the whole batch:

    >>> loss = lossary.CrossEntropyLoss(ignore_index=-100)
    >>> batches = [torch.tensor([0, -100, -100]), torch.tensor([1, 1, 0])]
    >>> count = sum((labels != -100).sum() for labels in batches)
    >>> logits = torch.tensor([[4.0, 0.0]], requires_grad=True)
    >>> for labels in batches:
    ...     loss(logits.expand(3, 2), labels, normalizer=count).backward()

    With a process group, count over all processes: the normalizer is used as it is. Where the denominator is not known,
    or the loss is no mean (`DiceLoss(per="batch")`, a sum of losses), run the forward passes once more: the other
    micro-batches enter as constants, which is exact for every decomposable loss.

    >>> with torch.no_grad():
    ...     known = [loss.statistics(logits.expand(3, 2), labels) for labels in batches]
    >>> for i, labels in enumerate(batches):
    ...     own = loss.statistics(logits.expand(3, 2), labels)
    ...     loss.finalize(sum(known[:i] + known[i + 1 :], start=own)).backward()
    """

    def __init__(
        self, loss: Loss, process_group: Group | None = None, learned: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        if not isinstance(loss, Loss):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"`loss` must be a loss such as lossary.CrossEntropyLoss(); got {loss!r}")
        if isinstance(process_group, str) and process_group != "world":
            raise ValueError(f"`process_group` must be None, 'world' or a process group; got {process_group!r}")
        if process_group is not None and not loss.decomposable:
            raise ValueError(
                f"`process_group` needs a loss whose statistics add up over processes, and those of {loss!r} do not "
                "(`decomposable` is False). Pass process_group=None to take the loss of each process by itself; for a "
                "loss of features, after lossary.torch.gather_over_processes."
            )
        for name in learned or {}:
            if name not in loss.takes:
                takes = ", ".join(loss.takes) or "none"
                raise ValueError(f"`learned` has {name!r}, which {loss!r} does not take; its operands are {takes}")
        self.loss = loss
        self._given = loss  # a sum whose parts have unlike reductions is found again when `reduction` is set back
        self.learned: nn.ParameterDict | dict[str, Tensor] = nn.ParameterDict(dict(learned)) if learned else {}
        self.process_group: Group | None = process_group

    @property
    def reduction(self) -> Reduction:
        """That of the loss, of all parts of a sum. It may be set, as that of torch's own losses: Opacus sets it to
        "none" for a call, and then back."""
        return self.loss.reduction

    @reduction.setter
    def reduction(self, reduction: Reduction) -> None:
        self.loss = self._given if reduction == self._given.reduction else _reduced(self._given, reduction)

    def forward(
        self,
        prediction: Outputs,
        target: Outputs,
        *,
        mask: Outputs | None = None,
        sample_weight: Outputs | None = None,
        normalizer: float | Tensor | Mapping[str, float | Tensor] | None = None,
        **operands: Outputs | float,
    ) -> Tensor:
        """The loss; arguments as those of `lossary.Loss.__call__`."""
        operands = {**dict(self.learned.items()), **operands}
        if self.process_group is None or self.loss.reduction == "none":
            return self.loss(
                prediction, target, mask=mask, sample_weight=sample_weight, normalizer=normalizer, **operands
            )
        statistics = self.loss.statistics(prediction, target, mask=mask, sample_weight=sample_weight, **operands)
        return self.loss.finalize(sum_over_processes(statistics, self.process_group), normalizer=normalizer)

    def extra_repr(self) -> str:
        if self.process_group is None:
            return repr(self.loss)
        return f"{self.loss!r}, process_group={self.process_group!r}"


def _reduced(loss: Loss, reduction: Reduction) -> Loss:
    """The loss with another reduction; a sum with that of all its parts."""
    if isinstance(loss, OutputLoss):
        return OutputLoss(_reduced(loss.loss, reduction), loss.output)
    if isinstance(loss, CompoundLoss):
        return loss.replace(terms=tuple((weight, _reduced(part, reduction)) for weight, part in loss.pairs))
    return loss.replace(reduction=reduction)
