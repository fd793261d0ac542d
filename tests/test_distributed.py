"""Exactness across processes: two gloo ranks with uneven shards against one process with the whole batch.

Run as a program this file is one of the ranks; the tests start both once and look at what they found.
"""

import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

import lossary as L
from frameworks import tensors
from lossary.checker.draws import draw
from lossary.torch import Criterion, Prototypes, gather_over_processes, sum_over_processes
from variants import everything

pytestmark = pytest.mark.xdist_group("distributed")  # the two ranks run once, not once a worker

IGNORED = -100
RANKS = 2


class Case(NamedTuple):
    """A loss on a linear model of a batch; the first rank has the first `first` rows, the second the rest."""

    loss: L.Loss
    features: Tensor
    target: Tensor
    first: int
    extra: Mapping[str, Tensor | float] = MappingProxyType({})  # of these, tensors are split like the batch

    def model(self) -> nn.Module:
        torch.manual_seed(7)
        inputs = self.features.shape[1]
        images = self.features.ndim > 2
        return nn.Conv2d(inputs, 3, 1, dtype=torch.float64) if images else nn.Linear(inputs, 4, dtype=torch.float64)

    def shard(self, rank: int) -> "Case":
        rows = slice(None, self.first) if rank == 0 else slice(self.first, None)
        extra = {name: x[rows] if isinstance(x, Tensor) else x for name, x in self.extra.items()}
        return self._replace(features=self.features[rows], target=self.target[rows], extra=extra)


def cases() -> dict[str, Case]:
    torch.manual_seed(0)
    rows = torch.randn(11, 5, dtype=torch.float64)
    labels = torch.randint(0, 4, (11,))
    one_valid = labels.clone()
    one_valid[[0, 1, 2, 4, 5]] = IGNORED  # of rank 0's six labels one counts
    none_valid = labels.clone()
    none_valid[:6] = IGNORED
    images = torch.randn(5, 2, 4, 6, dtype=torch.float64)
    masks = torch.randint(0, 3, (5, 4, 6))
    masks[0] = 0  # an image of background only
    boxes = torch.rand(11, 4, dtype=torch.float64) + 0.5
    weight = torch.rand(11, dtype=torch.float64) + 0.1
    ce = L.CrossEntropyLoss(ignore_index=IGNORED)
    class_weight = (0.2, 1, 3, 7)
    region = {"class_weight": (0.5, 1, 4), "reduction": "weighted_mean"}
    dice_and_ce = L.DiceLoss("multiclass", per="batch") + 0.5 * L.CrossEntropyLoss(class_weight=(1, 2, 3))
    return {
        "one valid label of six": Case(ce, rows, one_valid, 6),
        "rank with everything ignored": Case(ce, rows, none_valid, 6),
        "everything ignored": Case(ce, rows, torch.full_like(labels, IGNORED), 6),
        "rank without rows": Case(ce, rows, labels, 0),
        "weighted mean": Case(ce.replace(class_weight=class_weight, reduction="weighted_mean"), rows, one_valid, 6),
        "sample weights": Case(L.FocalLoss("multiclass"), rows, labels, 3, {"sample_weight": weight}),
        "mask": Case(L.CrossEntropyLoss(), rows, labels, 3, {"mask": weight > 0.6}),
        "normalizer": Case(L.FocalLoss("multiclass"), rows, labels, 3, {"normalizer": 2.5}),
        "sum reduction": Case(L.CrossEntropyLoss(reduction="sum"), rows, labels, 3),
        "boxes": Case(L.CIoULoss(format="cxcywh"), rows, boxes, 3),
        "divergence": Case(L.KLDivLoss(), rows, rows[:, :4].softmax(1), 3),
        "dice per batch": Case(L.DiceLoss("multiclass", per="batch", **region), images, masks, 1),
        "dice per image": Case(L.DiceLoss("multiclass", classes="present", **region), images, masks, 1),
        "lovasz per image": Case(L.LovaszSoftmaxLoss(per="image"), images, masks, 1),
        "sum of losses": Case(dice_and_ce, images, masks, 1),
    }


COUPLED = {
    "infonce": L.InfoNCELoss(),
    "supcon": L.SupConLoss(),
    "triplet": L.TripletLoss(mining="all", margin=3),
}
"""Losses of which each feature is compared with all others of the batch."""


def gathered(loss: L.Loss, features: Tensor, target: Tensor) -> Tensor:
    return loss(*gather_over_processes(features, target))


def own_anchors(features: Tensor, target: Tensor) -> Tensor:
    """Of this rank's rows alone, though against all: the ranks' losses differ, and their mean is that of the batch."""
    every, labels = gather_over_processes(features, target)
    own = torch.zeros(len(labels), dtype=torch.bool)
    first = 0 if dist.get_rank() == 0 else len(labels) - len(target)
    own[first : first + len(target)] = True
    values = L.InfoNCELoss(reduction="none")(every, labels)
    return RANKS * values[own].sum() / len(labels)


def step(case: Case, model: nn.Module, criterion) -> tuple[Tensor, Tensor]:
    """Value and gradient of a training step."""
    model.zero_grad()
    loss = criterion(model(case.features), case.target, **case.extra)
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters()])


# --- a rank ---------------------------------------------------------------------------------------------------------


def run_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'init'}", rank=rank, world_size=RANKS)
    alone = [dist.new_group([r]) for r in range(RANKS)]
    found: dict[str, object] = {}
    for name, case in cases().items():
        shard, model = case.shard(rank), case.model()
        parallel = nn.parallel.DistributedDataParallel(model)
        for group in ("world", None):
            found[f"{name}, {group}"] = step(shard, parallel, Criterion(case.loss, process_group=group))
        # without DistributedDataParallel, which would average
        found[f"{name}, bare"] = step(shard, model, case.loss)
        found[f"{name}, group of one"] = step(shard, model, Criterion(case.loss, process_group=alone[rank]))
    case = cases()["sum of losses"]
    compiled = torch.compile(Criterion(case.loss, process_group="world"), fullgraph=True, backend="aot_eager")
    with warnings.catch_warnings():
        # Dynamo itself looks at `.grad` of the model's output and makes an instance of the autograd function
        warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor")
        warnings.filterwarnings("ignore", message=".* should not be instantiated", category=DeprecationWarning)
        found["compiled"] = step(case.shard(rank), nn.parallel.DistributedDataParallel(case.model()), compiled)
    rows = cases()["one valid label of six"]
    for name, loss in COUPLED.items():
        case = rows._replace(target=torch.arange(11) // 2 % 3)
        shard, parallel = case.shard(rank), nn.parallel.DistributedDataParallel(case.model())
        found[f"{name}, gathered"] = step(shard, parallel, lambda x, t, loss=loss: gathered(loss, x, t))
        found[f"{name}, local"] = step(shard, parallel, loss)
    found["own anchors"] = step(shard, parallel, own_anchors)
    mask, _ = gather_over_processes(shard.target > 0, shard.target)
    found["gathered mask"] = torch.equal(mask, case.target > 0)
    found["centres"] = moved_centres(shard, "world")
    found["unreduced"] = unreduced(cases()["mask"].shard(rank), rank)
    found["sharded"] = sharded()
    found["a stranger's group"] = error_of(lambda: sum_over_processes(torch.zeros(1), alone[1 - rank]))
    torch.save(found, folder / f"rank{rank}.pt")
    dist.destroy_process_group()


def unreduced(shard: Case, rank: int) -> tuple[Tensor, Tensor]:
    """Only rank 0 calls the criterion: if that communicated, it would wait for the other until the test times out."""
    loss = shard.loss.replace(reduction="none")
    logits = shard.model()(shard.features).detach()
    return loss(logits, shard.target), (Criterion(loss, "world") if rank == 0 else loss)(logits, shard.target)


def moved_centres(shard: Case, group) -> Tensor:
    torch.manual_seed(3)
    criterion = Prototypes(L.CenterLoss(), 3, 5, rate=0.5, process_group=group).double()
    criterion(shard.features, shard.target)
    return criterion.centers


def sharded() -> dict[str, str]:
    """What is wrong with losses of DTensors of which each rank has a part, and with their gradient: nothing."""
    mesh = init_device_mesh("cpu", (RANKS,))
    wrong: dict[str, str] = {}
    for loss in everything():
        if not loss.takes_sharded:
            continue
        plain, target, keywords = tensors("torch", draw(loss), "float64")
        others = {"target": target, **keywords}
        expected = loss(plain.requires_grad_(), **others)
        (slope,) = torch.autograd.grad(expected.sum(), plain)
        # samples and classes; places of an image that do not divide by the ranks torch itself refuses to flatten
        for axis in range(min(2, *(x.ndim for x in others.values()))):
            prediction = distribute_tensor(plain.detach(), mesh, [Shard(axis)]).requires_grad_()
            try:
                parts = {name: distribute_tensor(x, mesh, [Shard(axis)]) for name, x in others.items()}
                value = loss(prediction, **parts)
                (gradient,) = torch.autograd.grad(value.sum(), prediction)
                torch.testing.assert_close(value.full_tensor(), expected)
                torch.testing.assert_close(gradient.full_tensor(), slope)
            except (AssertionError, RuntimeError, NotImplementedError) as error:
                wrong[f"{loss!r}, axis {axis}"] = str(error)
    return wrong


def error_of(call) -> str:
    try:
        call()
    except ValueError as error:
        return str(error)
    return "no error"


# --- the tests ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ranks():
    """What each of the two ranks found."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "error", __file__, folder]
        processes = [
            subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for rank in range(RANKS)
        ]
        try:
            outputs = [process.communicate(timeout=120)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert [process.returncode for process in processes] == [0] * RANKS, "\n".join(outputs)
        return [torch.load(Path(folder) / f"rank{rank}.pt") for rank in range(RANKS)]


every_case = pytest.mark.parametrize("name", cases())


@every_case
def test_the_averaged_gradient_is_that_of_the_whole_batch(ranks, name):
    case = cases()[name]
    value, gradient = step(case, case.model(), case.loss)
    for found in ranks:
        torch.testing.assert_close(found[f"{name}, world"], (value, gradient), rtol=1e-12, atol=1e-14)


@every_case
def test_a_group_of_one_is_no_group(ranks, name):
    for found in ranks:
        torch.testing.assert_close(found[f"{name}, group of one"], found[f"{name}, bare"], rtol=1e-14, atol=0)


# where the mean of the ranks' means is not the mean, the group must make a difference: the tests above can fail
@pytest.mark.parametrize("name", sorted(cases().keys() - {"everything ignored"}))
def test_without_a_group_the_gradient_is_wrong(ranks, name):
    case = cases()[name]
    _, gradient = step(case, case.model(), case.loss)
    _, found = ranks[0][f"{name}, None"]
    assert (found - gradient).norm() / gradient.norm() > 0.04


@pytest.mark.parametrize("name", COUPLED)
def test_gathered_features_have_the_gradient_of_the_whole_batch(ranks, name):
    case = cases()["one valid label of six"]._replace(target=torch.arange(11) // 2 % 3)
    value, gradient = step(case, case.model(), COUPLED[name])
    for found in ranks:
        torch.testing.assert_close(found[f"{name}, gathered"], (value, gradient), rtol=1e-12, atol=1e-14)
        assert (found[f"{name}, local"][1] - gradient).norm() / gradient.norm() > 0.04
        assert found["gathered mask"]
    if name == "infonce":
        torch.testing.assert_close(ranks[0]["own anchors"][1], gradient, rtol=1e-12, atol=1e-14)


def test_centres_move_by_the_features_of_all_processes(ranks):
    case = cases()["one valid label of six"]._replace(target=torch.arange(11) // 2 % 3)
    for found in ranks:
        torch.testing.assert_close(found["centres"], moved_centres(case, None), rtol=1e-12, atol=1e-14)


def test_everything_ignored_on_every_rank_is_zero(ranks):
    for found in ranks:
        value, gradient = found["everything ignored, world"]
        assert value == 0
        assert (gradient == 0).all()


def test_compiled_with_a_group(ranks):
    for found in ranks:
        torch.testing.assert_close(found["compiled"], found["sum of losses, world"])


def test_unreduced_losses_are_those_of_the_rank_alone(ranks):
    for found in ranks:
        bare, criterion = found["unreduced"]
        assert torch.equal(bare, criterion)


def test_a_group_that_lacks_this_process_is_refused(ranks):
    for rank, found in enumerate(ranks):
        assert found["a stranger's group"] == (
            f"`process_group` does not contain this process (rank {rank} of the world)"
        )


def test_losses_that_take_sharded_tensors_are_exact(ranks):
    """Every variant of those that say so; class weights once stood beside them as tensors of the process."""
    assert sum(loss.takes_sharded for loss in everything()) > 100
    for found in ranks:
        assert found["sharded"] == {}


if __name__ == "__main__":
    run_rank(int(sys.argv[2]), Path(sys.argv[1]))
