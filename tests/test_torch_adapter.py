"""`lossary.torch.Criterion` in one process: a module like any other, and gradient accumulation that is exact."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import lossary as L
from lossary.torch import Criterion, TrainerLoss

IGNORED = -100

labels = torch.tensor([0, 2, 1, 2, 0, 1])
logits = torch.linspace(-2, 2, 18, dtype=torch.float64).reshape(6, 3).sin()
image_logits = torch.linspace(-2, 2, 4 * 3 * 6, dtype=torch.float64).reshape(4, 3, 2, 3).mul(7).sin()
image_labels = torch.arange(24).reshape(4, 2, 3) * 5 % 3

LOSSES = {
    "cross entropy": (L.CrossEntropyLoss(label_smoothing=0.1), logits, labels),
    "focal": (L.FocalLoss("multiclass", gamma=1.5, class_weight=(1, 2, 3)), logits, labels),
    "huber": (L.HuberLoss(delta=0.5), logits, logits.flip(0)),
    "kl": (L.KLDivLoss(), logits, logits.flip(0).softmax(1)),
    "ciou": (L.CIoULoss(format="cxcywh"), logits[:, [0, 1, 2, 0]].exp(), logits.flip(0)[:, [0, 1, 2, 0]].exp()),
    "dice": (L.DiceLoss("multiclass", per="batch"), image_logits, image_labels),
    "lovasz": (L.LovaszSoftmaxLoss(), image_logits, image_labels),
    "sum": (L.DiceLoss("multiclass") + 0.5 * L.CrossEntropyLoss(), image_logits, image_labels),
    "unreduced": (L.CrossEntropyLoss(reduction="none"), logits, labels),
}

every_loss = pytest.mark.parametrize(("loss", "prediction", "target"), LOSSES.values(), ids=LOSSES)


def gradient(function, prediction, *rest):
    prediction = prediction.clone().requires_grad_()
    function(prediction, *rest).sum().backward()
    return prediction.grad


# --- a module --------------------------------------------------------------------------------------------------------


@every_loss
def test_the_criterion_is_its_loss(loss, prediction, target):
    criterion = Criterion(loss)
    assert torch.equal(criterion(prediction, target), loss(prediction, target))
    assert torch.equal(gradient(criterion, prediction, target), gradient(loss, prediction, target))
    assert criterion.loss == loss


def test_arguments_of_the_call_reach_the_loss():
    loss = L.CrossEntropyLoss()
    arguments = {
        "mask": torch.tensor([True, True, False, True, True, False]),
        "sample_weight": torch.linspace(0.5, 2, 6, dtype=torch.float64),
        "normalizer": 2.5,
    }
    for name, value in arguments.items():
        assert torch.equal(Criterion(loss)(logits, labels, **{name: value}), loss(logits, labels, **{name: value}))
    with pytest.raises(TypeError, match="CrossEntropyLoss: unknown argument `weights`"):
        Criterion(loss)(logits, labels, weights=torch.ones(6))


def test_repr_names_the_loss_and_the_processes():
    assert repr(Criterion(L.FocalLoss("binary", gamma=1))) == "Criterion(FocalLoss('binary', gamma=1.0))"
    assert repr(Criterion(L.MSELoss(), process_group="world")) == "Criterion(MSELoss(), process_group='world')"
    model = nn.ModuleDict({"loss": Criterion(L.L1Loss() + 0.5 * L.MSELoss())})
    assert "(loss): Criterion(L1Loss() + 0.5 * MSELoss())" in repr(model)


def test_it_has_no_state_and_no_parameters():
    criterion = Criterion(L.DiceLoss("binary"))
    assert criterion.state_dict() == {}
    assert list(criterion.parameters()) == []
    criterion.load_state_dict({})


def saved_and_loaded(criterion):
    file = io.BytesIO()
    torch.save(criterion, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


copies = pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c)), saved_and_loaded],
    ids=["deepcopy", "pickle", "save"],
)


@copies
@every_loss
def test_copies(copied, loss, prediction, target):
    twin = copied(Criterion(loss))
    assert twin.loss == loss
    assert torch.equal(twin(prediction, target), loss(prediction, target))


@copies
def test_copies_keep_the_processes(copied):
    assert copied(Criterion(L.MSELoss(), process_group="world")).process_group == "world"


# the conformance suite compiles and exports every loss; here it is the module around them that is looked at
few_losses = pytest.mark.parametrize("name", ["cross entropy", "sum", "unreduced"])


@few_losses
def test_compiled(name):
    torch.compiler.reset()  # all criteria share one code object, and Dynamo keeps eight versions of each
    loss, prediction, target = LOSSES[name]
    criterion = Criterion(loss)
    compiled = torch.compile(criterion, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(prediction, target), criterion(prediction, target))
    torch.testing.assert_close(gradient(compiled, prediction, target), gradient(criterion, prediction, target))


@few_losses
@pytest.mark.parametrize("strict", [False, True])
def test_exported(name, strict):
    loss, prediction, target = LOSSES[name]
    criterion = Criterion(loss)
    exported = torch.export.export(criterion, (prediction, target), strict=strict).module()
    other = prediction.flip(0)
    torch.testing.assert_close(exported(other, target), criterion(other, target))


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own copying of trees
@pytest.mark.parametrize(
    "loss", [L.LovaszSoftmaxLoss(), L.LovaszSoftmaxLoss(per="image"), L.TopKLoss("multiclass")], ids=repr
)
def test_exported_graphs_sort_as_onnx_does(loss):
    """ONNX has no stable sort: with the exporter of torch (onnxscript) these losses failed at `aten.sort.stable`."""
    exported = torch.export.export(Criterion(loss), (image_logits, image_labels)).run_decompositions()
    sorts = {str(node.target) for node in exported.graph.nodes if "sort" in str(node.target)}
    assert sorts == {"aten.sort.default"}
    torch.testing.assert_close(exported.module()(image_logits, image_labels), loss(image_logits, image_labels))


# --- what other programs set and pass ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss",
    [
        L.CrossEntropyLoss(ignore_index=2),
        L.CrossEntropyLoss() + 0.5 * L.FocalLoss("multiclass", class_weight=(1, 2, 3), reduction="weighted_mean"),
    ],
    ids=repr,
)
def test_a_reduction_that_is_set_is_heard(loss):
    """Opacus asks for the loss of each sample so: that of the batch broke its bound by a factor of 90."""
    criterion = Criterion(loss)
    before = criterion.reduction
    whole = criterion(logits, labels)
    criterion.reduction = "none"
    each = criterion(logits, labels)
    assert each.shape == labels.shape
    for i in range(len(labels)):
        torch.testing.assert_close(each[i], criterion(logits[i : i + 1], labels[i : i + 1])[0])
    criterion.reduction = before
    assert criterion.loss == loss
    assert torch.equal(criterion(logits, labels), whole)
    with pytest.raises(ValueError, match="`reduction` must be one of"):
        criterion.reduction = "batchmean"


def test_the_reduction_of_outputs_is_set_too():
    criterion = Criterion(L.L1Loss().on("a") + L.MSELoss().on("a"))
    criterion.reduction = "sum"
    assert criterion.loss == L.L1Loss(reduction="sum").on("a") + L.MSELoss(reduction="sum").on("a")


def trained(compute_loss_func, model, rows, labels, steps):
    """One step of the Trainer of transformers 5, as far as the loss goes: it counts the labels of all micro-batches,
    passes the count with each, and adds the gradients up without dividing by their number."""
    model.zero_grad()
    chunks = list(zip(rows.chunk(steps), labels.chunk(steps), strict=True))
    count = sum((chunk != IGNORED).sum() for _, chunk in chunks)
    total = 0.0
    for x, y in chunks:
        loss = compute_loss_func({"logits": model(x)}, y, num_items_in_batch=count)
        loss.backward()
        total += loss.item()
    return total, model.weight.grad.clone()


@pytest.mark.parametrize(
    "loss",
    [
        L.CrossEntropyLoss(ignore_index=IGNORED),
        L.CrossEntropyLoss(ignore_index=IGNORED)
        + 0.5 * L.FocalLoss("multiclass", ignore_index=IGNORED)
        + L.GeneralizedCrossEntropyLoss(ignore_index=IGNORED),
    ],
    ids=repr,
)
@pytest.mark.parametrize("shift", [False, True])
def test_the_trainer_of_transformers(loss, shift):
    torch.manual_seed(0)
    model, rows = nn.Linear(5, 3, dtype=torch.float64), torch.randn(6, 4, 5, dtype=torch.float64)
    labels = torch.randint(3, (6, 4))
    labels[0, 1:] = labels[2, 2] = labels[:, 0] = IGNORED  # the first label counts nowhere when labels are shifted
    scores = model(rows)[:, :-1] if shift else model(rows)
    whole = loss(scores.movedim(-1, 1), labels[:, 1:] if shift else labels)
    for steps in (1, 2, 3):
        value, _ = trained(TrainerLoss(loss, shift=shift), model, rows, labels, steps)
        assert value == pytest.approx(whole.item(), rel=1e-12)
    evaluated = TrainerLoss(loss, shift=shift)({"logits": model(rows)}, labels)
    assert evaluated.item() == pytest.approx(whole.item(), rel=1e-12)


def test_what_a_number_of_labels_cannot_divide_is_refused():
    weighted = L.CrossEntropyLoss(class_weight=(1, 2, 3), reduction="weighted_mean")
    with pytest.raises(ValueError, match="a number of labels, which is the denominator of reduction='mean' alone"):
        TrainerLoss(weighted)
    positives = L.FocalLoss("multiclass", normalizer="positives")
    for other in (L.DiceLoss("multiclass"), L.LovaszSoftmaxLoss(), L.TopKLoss("multiclass", fraction=0.5), positives):
        for loss in (other, L.CrossEntropyLoss() + other):
            with pytest.raises(ValueError, match="is not over labels"):
                TrainerLoss(loss)


# --- tensors of other kinds -------------------------------------------------------------------------------------------


@pytest.fixture
def mesh(tmp_path):
    """A mesh of one process, for what is refused; test_distributed.py has two, and looks at numbers."""
    from torch.distributed.device_mesh import init_device_mesh

    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def sharded(x, mesh, axis=0):
    from torch.distributed.tensor import Shard, distribute_tensor

    return distribute_tensor(x, mesh, [Shard(axis)])


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about its own meshes
def test_sharded_tensors_are_refused(mesh):
    from torch.distributed.tensor.parallel import loss_parallel

    x, y = sharded(image_logits, mesh), sharded(image_labels, mesh)
    w = torch.ones(3, 3, dtype=torch.float64)
    refused = (
        (L.DiceLoss("multiclass"), (x, y), {}, r"`prediction` is a DTensor, of which this loss has no sharded form"),
        (L.DiceLoss("multiclass") + L.CrossEntropyLoss(), (x, y), {}, r"Pass `prediction.full_tensor\(\)`"),
        (L.CrossEntropyLoss(), (x, image_labels), {}, "`prediction` is a DTensor, .*, and `target` a tensor of this"),
        (L.LinearCrossEntropyLoss(), (logits, labels), {"weight": sharded(w, mesh)}, r"`weight.full_tensor\(\)`"),
        (
            L.LinearCrossEntropyLoss(),
            (sharded(logits, mesh), sharded(labels, mesh)),
            {"weight": sharded(w, mesh)},
            "no",
        ),
        (L.TopKLoss("multiclass"), (x, y), {}, "no sharded form"),
        (L.ShapeAwareLoss("multiclass"), (x, y), {}, "no sharded form"),
    )
    for loss, call, operands, words in refused:
        with pytest.raises(TypeError, match=words):
            loss(*call, **operands)
    with loss_parallel(), pytest.raises(TypeError, match=r"inside `loss_parallel\(\)`.*call the loss outside"):
        L.CrossEntropyLoss()(sharded(image_logits, mesh, 1), y)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("layout", [torch.jagged, torch.strided])
def test_nested_tensors_are_refused(layout):
    nested = torch.nested.nested_tensor([torch.ones(3), torch.ones(2)], layout=layout)
    for loss in (L.MSELoss(), L.BCELoss(), L.MSELoss() + L.L1Loss()):
        with pytest.raises(TypeError, match=r"`prediction` is a nested tensor.*to_padded_tensor\(0.0\)`, with a"):
            loss(nested, nested)
    # what the words say to pass is the loss of the elements that are there
    assert L.L1Loss()(nested.to_padded_tensor(0.0), torch.zeros(2, 3), mask=torch.tensor([[1, 1, 1], [1, 1, 0]])) == 1


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors:UserWarning")
def test_masked_tensors_are_refused():
    x = torch.masked.masked_tensor(torch.tensor([[1.0, 9.0], [3.0, 5.0]]), torch.eye(2) > 0)
    for loss in (L.L1Loss(), L.L1Loss() + L.MSELoss(), L.DiceLoss("binary")):
        with pytest.raises(TypeError, match=r"`prediction` is a MaskedTensor.*`prediction.get_data\(\)`, with `mask"):
            loss(x, torch.zeros(2, 2))
    assert L.L1Loss()(x.get_data(), torch.zeros(2, 2), mask=x.get_mask()) == 3


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [L.CrossEntropyLoss, nn.CrossEntropyLoss(), "focal", None])
def test_what_is_no_loss_is_refused(loss):
    with pytest.raises(TypeError, match=r"`loss` must be a loss such as lossary\.CrossEntropyLoss\(\); got"):
        Criterion(loss)


def test_the_name_of_a_group_is_world():
    with pytest.raises(ValueError, match=r"must be None, 'world' or a process group; got 'gloo'"):
        Criterion(L.MSELoss(), process_group="gloo")


@pytest.mark.parametrize("loss", [L.LovaszSoftmaxLoss(), L.CrossEntropyLoss() + L.LovaszSoftmaxLoss()])
def test_losses_that_do_not_add_up_are_refused(loss):
    with pytest.raises(ValueError, match=r"LovaszSoftmaxLoss\(\) do not \(`decomposable` is False\)"):
        Criterion(loss, process_group="world")
    Criterion(loss)  # in one process it is fine
    Criterion(L.LovaszSoftmaxLoss(per="image"), process_group="world")


def test_a_group_needs_initialised_processes():
    criterion = Criterion(L.MSELoss(), process_group="world")
    with pytest.raises(RuntimeError, match=r"call torch\.distributed\.init_process_group"):
        criterion(logits, logits)


# --- gradient accumulation ------------------------------------------------------------------------------------------


def test_the_mean_of_means_of_the_report_is_175_not_25():
    # cross entropies of exactly 4 and 1: -log p of two classes
    def logits_of(value):
        return torch.tensor([0.0, torch.tensor(value, dtype=torch.float64).expm1().log()], dtype=torch.float64)

    first = torch.stack([logits_of(4.0)] * 4), torch.tensor([0, IGNORED, IGNORED, IGNORED])
    second = torch.stack([logits_of(1.0)] * 4), torch.tensor([0, 0, 0, IGNORED])
    loss = L.CrossEntropyLoss(ignore_index=IGNORED)
    count = (first[1] != IGNORED).sum() + (second[1] != IGNORED).sum()
    mean_of_means = (loss(*first) + loss(*second)) / 2
    accumulated = loss(*first, normalizer=count) + loss(*second, normalizer=count)
    assert mean_of_means.item() == pytest.approx(2.5)
    assert accumulated.item() == pytest.approx(1.75)


def accumulation_batch():
    """Twelve rows in which the first micro-batches count far less than the last."""
    torch.manual_seed(0)
    target = torch.randint(0, 3, (12,))
    target[[0, 1, 3, 4, 5]] = IGNORED
    return torch.randn(12, 4, dtype=torch.float64), target, torch.rand(12, dtype=torch.float64) + 0.1


def model_gradient(model, steps):
    """Loss and gradient of the model over the micro-batches of `steps`, whose results add up."""
    model.zero_grad()
    total = 0.0
    for step in steps:
        loss = step()
        loss.backward()
        total += loss.item()
    return total, model.weight.grad.clone()


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("reduction", ["mean", "weighted_mean"])
def test_a_known_denominator_makes_accumulation_exact(k, reduction):
    features, target, weight = accumulation_batch()
    loss = L.CrossEntropyLoss(ignore_index=IGNORED, class_weight=(0.5, 1, 4), reduction=reduction)
    criterion = Criterion(loss)
    model = nn.Linear(4, 3, dtype=torch.float64)
    expected, expected_gradient = model_gradient(
        model, [lambda: criterion(model(features), target, sample_weight=weight)]
    )
    valid = target != IGNORED
    if reduction == "mean":
        normalizer = valid.sum()
    else:
        class_weight = torch.tensor([0.5, 1, 4], dtype=torch.float64)
        normalizer = (class_weight[target.clamp(min=0)] * weight)[valid].sum()

    def step(x, t, w):
        return lambda: criterion(model(x), t, sample_weight=w, normalizer=normalizer)

    chunks = zip(features.chunk(k), target.chunk(k), weight.chunk(k), strict=True)
    value, found = model_gradient(model, [step(*chunk) for chunk in chunks])
    assert value == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(found, expected_gradient, rtol=1e-6, atol=1e-12)


SECOND_PASS = {
    "mean": L.CrossEntropyLoss(ignore_index=IGNORED),
    "weighted_mean": L.FocalLoss("multiclass", ignore_index=IGNORED, class_weight=(1, 2, 9), reduction="weighted_mean"),
    "sum": L.CrossEntropyLoss(ignore_index=IGNORED, reduction="sum"),
    "dice": L.DiceLoss("multiclass", per="batch", ignore_index=IGNORED),
    "compound": L.TverskyLoss("multiclass", per="batch", ignore_index=IGNORED)
    + 0.5 * L.CrossEntropyLoss(ignore_index=IGNORED),
}


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("loss", SECOND_PASS.values(), ids=SECOND_PASS)
def test_a_second_forward_pass_makes_accumulation_exact(k, loss):
    features, target, _ = accumulation_batch()
    model = nn.Linear(4, 3, dtype=torch.float64)
    expected, expected_gradient = model_gradient(model, [lambda: loss(model(features), target)])
    chunks = list(zip(features.chunk(k), target.chunk(k), strict=True))
    with torch.no_grad():
        known = [loss.statistics(model(x), t) for x, t in chunks]
    model.zero_grad()
    for i, (x, t) in enumerate(chunks):
        own = loss.statistics(model(x), t)
        value = loss.finalize(sum(known[:i] + known[i + 1 :], start=own))
        value.backward()
        assert value.item() == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(model.weight.grad, expected_gradient, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("k", [2, 4])
def test_plain_accumulation_is_wrong(k):
    """The two tests above can fail: without either recipe the gradient is far off."""
    features, target, _ = accumulation_batch()
    loss = L.CrossEntropyLoss(ignore_index=IGNORED)
    model = nn.Linear(4, 3, dtype=torch.float64)
    _, expected = model_gradient(model, [lambda: loss(model(features), target)])
    chunks = zip(features.chunk(k), target.chunk(k), strict=True)
    _, found = model_gradient(model, [lambda x=x, t=t: loss(model(x), t) / k for x, t in chunks])
    assert (found - expected).norm() / expected.norm() > 0.1
