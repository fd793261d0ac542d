"""Losses made of losses: sums, sums over several outputs, and sums whose weights are learned or change with time."""

from lossary.core.compound.outputs import OutputLoss
from lossary.core.compound.sums import SumLoss
from lossary.core.compound.terms import CompoundLoss, Parts
from lossary.core.compound.weights import ScheduledLoss, UncertaintyWeightedLoss

COMPOUND: dict[str, type[CompoundLoss | OutputLoss]] = {
    cls.__name__: cls for cls in (SumLoss, OutputLoss, UncertaintyWeightedLoss, ScheduledLoss)
}
"""Those that `from_dict` reads by their own rules, because they hold other losses."""

__all__ = ["COMPOUND", "CompoundLoss", "OutputLoss", "Parts", "ScheduledLoss", "SumLoss", "UncertaintyWeightedLoss"]
