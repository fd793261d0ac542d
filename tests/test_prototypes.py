"""`lossary.torch.Prototypes`: a module that owns the prototypes or centres, trains, saves and loads them."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import lossary as L
from lossary.torch import Prototypes

LOSSES = [L.LargeMarginSoftmaxLoss(), L.SphereFaceLoss(), L.ArcFaceLoss(), L.CosFaceLoss(), L.CenterLoss()]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)

torch.manual_seed(0)
features, labels = torch.randn(20, 6), torch.arange(20) % 5


def made(loss, **settings):
    torch.manual_seed(1)
    return Prototypes(loss, 5, 6, **settings)


@every_loss
def test_it_is_the_loss_with_its_own_vectors(loss):
    criterion = made(loss)
    keywords = {loss.class_vectors: criterion.vectors}
    assert torch.equal(criterion(features, labels), loss(features, labels, **keywords))
    calls = {"mask": labels > 0, "sample_weight": torch.rand(20), "normalizer": 3.0}
    assert torch.equal(criterion(features, labels, **calls), loss(features, labels, **calls, **keywords))
    assert [name for name, _ in criterion.named_parameters()] == [loss.class_vectors]
    assert criterion.vectors.shape == (5, 6)
    assert 0.5 < criterion.vectors.norm(dim=1).mean() < 1.5


def test_annealing_reaches_the_loss():
    criterion = made(L.LargeMarginSoftmaxLoss())
    found = criterion(features, labels, annealing=2.0)
    assert found == L.LargeMarginSoftmaxLoss()(features, labels, prototypes=criterion.prototypes, annealing=2.0)
    assert found == criterion(features, labels, annealing=torch.tensor(2.0)) != criterion(features, labels)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
@every_loss
def test_it_trains_and_is_saved(loss, optimizer):
    criterion = made(loss)
    model = nn.Linear(6, 6)
    steps = optimizer([*model.parameters(), *criterion.parameters()], lr=0.01)
    first = criterion(model(features), labels).item()
    for _ in range(20):
        steps.zero_grad()
        value = criterion(model(features), labels)
        value.backward()
        steps.step()
    assert value < first
    file = io.BytesIO()
    torch.save(criterion.state_dict(), file)
    file.seek(0)
    twin = Prototypes(loss, 5, 6)
    twin.load_state_dict(torch.load(file))
    assert torch.equal(twin(features, labels), criterion(features, labels))
    for copied in (copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion))):
        assert torch.equal(copied(features, labels), criterion(features, labels))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@every_loss
def test_half_precision_features_leave_the_vectors_alone(loss, dtype):
    for criterion in [made(loss), *([made(loss, rate=0.5)] if isinstance(loss, L.CenterLoss) else [])]:
        half = features.to(dtype).requires_grad_()
        value = criterion(half, labels)
        value.backward()
        assert value.dtype == criterion.vectors.dtype == torch.float32
        assert half.grad.dtype == dtype
        with torch.autocast("cpu", dtype=torch.bfloat16):
            again = criterion(features, labels)
        assert again.dtype == criterion.vectors.dtype == torch.float32


@every_loss
def test_compiled(loss):
    torch.compiler.reset()
    for criterion in [made(loss), *([made(loss, rate=0.5)] if isinstance(loss, L.CenterLoss) else [])]:
        twin = copy.deepcopy(criterion)
        compiled = torch.compile(twin, fullgraph=True, backend="aot_eager")
        for _ in range(2):
            torch.testing.assert_close(compiled(features, labels), criterion(features, labels))
        torch.testing.assert_close(twin.vectors, criterion.vectors)


def test_the_rule_of_the_paper():
    criterion = made(L.CenterLoss(), rate=0.5)
    assert list(criterion.parameters()) == []
    assert list(criterion.state_dict()) == ["centers"]
    before = criterion.centers.clone()
    leaf = features.clone().requires_grad_()
    value = criterion(leaf, labels)
    assert torch.equal(value, L.CenterLoss()(features, labels, centers=before)), "the loss is that of the old centres"
    expected = L.CenterLoss().moved_centers(features, labels, centers=before, rate=0.5)
    torch.testing.assert_close(criterion.centers, expected)
    value.backward()  # though the buffer has moved since
    torch.testing.assert_close(leaf.grad, (features - before[labels]) / 20)
    criterion.eval()
    criterion(features, labels)
    torch.testing.assert_close(criterion.centers, expected)
    twin = made(L.CenterLoss(), rate=0.5)
    twin.load_state_dict(criterion.state_dict())
    assert torch.equal(twin.centers, criterion.centers)


def test_masked_features_move_nothing():
    criterion, whole = made(L.CenterLoss(), rate=1.0), made(L.CenterLoss(), rate=1.0)
    mask = torch.arange(20) < 10
    spoiled = torch.where(mask[:, None], features, torch.nan)
    criterion(spoiled, labels, mask=mask)
    whole(features[:10], labels[:10])
    assert torch.equal(criterion.centers, whole.centers)


def test_repr():
    assert repr(made(L.CosFaceLoss(scale=30))) == "Prototypes(CosFaceLoss(scale=30.0), classes=5, dimension=6)"
    assert repr(made(L.CenterLoss(), rate=0.5)) == "Prototypes(CenterLoss(), classes=5, dimension=6, rate=0.5)"
    assert "process_group='world'" in repr(made(L.CosFaceLoss(), process_group="world"))


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Prototypes(L.CrossEntropyLoss(), 5, 6), TypeError, "takes prototypes or centres.*CrossEntropyLoss"),
        (lambda: Prototypes(L.SupConLoss(), 5, 6), TypeError, "takes prototypes or centres.*SupConLoss"),
        (lambda: Prototypes(L.ArcFaceLoss(), 0, 6), ValueError, "`classes` and `dimension` must be at least 1; got 0"),
        (lambda: Prototypes(L.ArcFaceLoss(), 5, 6, rate=0.5), ValueError, "`rate` is that of the centres"),
        (lambda: Prototypes(L.CenterLoss(), 5, 6, rate=2), ValueError, r"`rate` must be in \[0, 1\]; got 2"),
    ],
)
def test_what_is_refused(make, kind, message):
    with pytest.raises(kind, match=message):
        make()
