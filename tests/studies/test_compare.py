"""What `compare` promises: the same start for every loss, the same results each time, and results that survive."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import lossary as L
from lossary import studies
from lossary.studies import Comparison, Data, InputError, summary
from lossary.studies.comparison import REPORT
from lossary.studies.results import FILE

DATA = studies.segmentation_data(train=8, validation=4, test=4)
TINY: dict[str, Any] = {"data": DATA, "epochs": 2, "seeds": 2, "threads": 1}


def numbers(comparison: Comparison) -> list[Any]:
    return [(run.loss, run.seed, run.status, run.epochs, run.test, run.weights, run.batches) for run in comparison.runs]


def test_every_loss_starts_from_the_same_weights_and_sees_the_same_batches() -> None:
    seen: dict[tuple[str, int], list[Tensor]] = {}

    def spy(name: str) -> Callable[[Tensor, Tensor], Tensor]:
        def loss(prediction: Tensor, target: Tensor) -> Tensor:
            seen.setdefault((name, len(comparisons)), []).append(target.clone())
            return F.cross_entropy(prediction, target) * (1 if name == "a" else 3)

        return loss

    comparisons: list[Comparison] = []
    comparisons.append(studies.compare({"a": spy("a"), "b": spy("b")}, **TINY))
    (comparison,) = comparisons
    a, b = seen["a", 0], seen["b", 0]
    assert len(a) == len(b) == 1 + 2 * 2 * 2  # one trial batch, then seeds × epochs × batches
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert not torch.equal(a[1], a[3])  # another order in the second epoch
    starts = {seed: {(run.weights, run.batches) for run in comparison.runs if run.seed == seed} for seed in (0, 1)}
    assert [len(found) for found in starts.values()] == [1, 1]
    assert starts[0] != starts[1]
    assert summary.same_start(comparison)
    assert comparison.runs[0].test != comparison.runs[1].test  # the losses differ, so do the results


@pytest.mark.parametrize("study", ["segmentation", "classification"])
def test_results_repeat_and_the_callers_state_is_kept(study: str) -> None:
    data = DATA if study == "segmentation" else studies.classification_data(most=10, ratio=5, validation=2, test=3)
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads()
    first, second = (
        studies.compare("cross_entropy, dice:per=batch+0.5*focal", study=study, **{**TINY, "data": data})
        for _ in range(2)
    )
    assert numbers(first) == numbers(second)
    assert torch.equal(before[0], torch.get_rng_state())
    assert torch.get_num_threads() == before[1]
    assert first.complete
    assert len(first.runs) == 4


def test_own_model_data_loaders_and_metrics() -> None:
    x, y = torch.randn(24, 3, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 2

    def loader() -> DataLoader[tuple[Tensor, ...]]:
        # a generator of its own would go on from run to run
        return DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True, generator=torch.Generator())

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 2))

    def right(prediction: np.ndarray, target: np.ndarray) -> float:
        return float((prediction.argmax(1) == target).mean())

    data: Any = Data(loader(), [(x, y)], [(x, y)], classes=("no", "yes"))
    comparison = studies.compare(
        [L.CrossEntropyLoss(), nn.CrossEntropyLoss(), "focal"],
        study="classification",
        model=model,
        data=data,
        metrics={"right": right},
        epochs=3,
        seeds=[7],
    )
    assert [c.label for c in comparison.contenders] == ["CrossEntropyLoss()", "CrossEntropyLoss", "focal"]
    assert summary.same_start(comparison)
    ours, torchs, _ = comparison.runs
    assert ours.test.keys() == {"right"}
    np.testing.assert_allclose([e.loss for e in ours.epochs], [e.loss for e in torchs.epochs], rtol=1e-5)


def test_a_loss_with_parameters_of_its_own_is_trained_and_starts_anew() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
            return F.cross_entropy(self.scale * prediction, target)

    loss = Scaled()
    comparison = studies.compare({"a": loss, "b": loss, "fixed": F.cross_entropy}, **{**TINY, "seeds": 1})
    a, b, fixed = comparison.runs
    assert loss.scale.item() == 1
    assert a.test == b.test
    assert [e.loss for e in a.epochs] != [e.loss for e in fixed.epochs]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_its_run_only(tmp_path: Path, bad: float) -> None:
    calls = 0

    def failing(prediction: Tensor, target: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return F.cross_entropy(prediction, target) * (bad if calls == 5 else 1)

    comparison = studies.compare({"failing": failing, "ce": F.cross_entropy}, **TINY, out=tmp_path)
    assert [run.status for run in comparison.runs] == ["diverged", "finished", "finished", "finished"]
    assert comparison.runs[0].note == f"training loss {bad} at epoch 2, step 2"
    assert comparison.complete
    row = next(row for row in summary.rows(comparison) if row.loss == "failing")
    assert (row.finished, row.diverged) == (1, 1)
    assert "1 of 2 runs diverged" in (tmp_path / REPORT).read_text()


def test_diverged_everywhere_is_a_result(tmp_path: Path) -> None:
    def never(prediction: Tensor, target: Tensor) -> Tensor:
        return prediction.sum() * float("nan")

    comparison = studies.compare({"never": never}, **TINY, out=tmp_path)
    assert summary.findings(comparison)[0] == "No run has finished."
    assert Comparison.load(tmp_path).runs[0].status == "diverged"


@pytest.mark.parametrize("when", [2, 4, 7])
def test_interruption_leaves_results_and_report(tmp_path: Path, when: int) -> None:
    calls = 0

    def stopped(prediction: Tensor, target: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == when:
            raise KeyboardInterrupt
        return F.cross_entropy(prediction, target)

    with pytest.raises(KeyboardInterrupt):
        studies.compare({"ce": F.cross_entropy, "stopped": stopped}, **TINY, out=tmp_path)
    found = Comparison.load(tmp_path)
    assert not found.complete
    assert found.runs[0].status == "finished"
    assert found.runs[-1].status == "interrupted"
    page = (tmp_path / REPORT).read_text()
    assert "Incomplete" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == [REPORT, FILE]


def test_results_go_to_json_and_back(tmp_path: Path) -> None:
    comparison = studies.compare("cross_entropy,dice+0.5*focal", **TINY, out=tmp_path)
    found = Comparison.load(tmp_path)
    comparison.predictions = {}
    assert json.dumps(found.to_dict()) == json.dumps(comparison.to_dict())
    assert found.contenders == comparison.contenders
    config = found.contenders[1].config
    assert config is not None
    assert L.from_dict(config) == L.DiceLoss("multiclass") + 0.5 * L.FocalLoss("multiclass")


def test_an_older_result_is_not_taken_for_this_one(tmp_path: Path) -> None:
    studies.compare("cross_entropy", **TINY, out=tmp_path)

    def stopped(prediction: Tensor, target: Tensor) -> Tensor:
        if Comparison.load(tmp_path).runs:
            raise AssertionError("results of the older comparison are still there")
        raise KeyboardInterrupt

    calls = iter([F.cross_entropy, stopped])
    with pytest.raises(KeyboardInterrupt):
        studies.compare({"stopped": lambda p, t: next(calls)(p, t)}, **TINY, out=tmp_path)
    assert not Comparison.load(tmp_path).complete


def one(prediction: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(prediction, target)


def broken(prediction: Any, target: Any) -> Any:
    raise RuntimeError("first line\nsecond line")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"losses": "focl"}, "focal"),
    ({"losses": "ciou"}, "the loss 'ciou' does not suit segmentation"),
    ({"losses": "mse"}, "the loss 'mse' does not suit segmentation"),
    ({"losses": "bce:task=binary"}, "does not suit segmentation"),
    ({"losses": "cross_entropy:reduction=none"}, "must return one number; got shape"),
    ({"losses": "dice,dice"}, "'dice' is listed twice"),
    ({"losses": " "}, "no loss is given"),
    ({"losses": [3]}, "must be a spec such as 'focal:gamma=1' or a callable; got 3"),
    ({"losses": [broken]}, "does not suit segmentation.*first line second line"),
    ({"losses": [lambda p, t: 1.0]}, "must return a torch tensor; got float"),
    ({"losses": [lambda p, t: torch.zeros(())]}, "has no gradient"),
    (
        {"study": "segmentatoin"},
        "there is no study 'segmentatoin'; there are segmentation, classification, detection, regression, sequence",
    ),
    ({"seeds": 0}, "`seeds` must be at least 1; got 0"),
    ({"seeds": [1, 1]}, "different seeds"),
    ({"epochs": 0}, "`epochs` must be above 0; got 0"),
    ({"learning_rate": -1.0}, "`learning_rate` must be above 0; got -1.0"),
    ({"metrics": {}}, "`metrics` is empty"),
    ({"metrics": {"mine": broken}}, "the metric 'mine' fails on a first batch: RuntimeError"),
    ({"model": lambda: nn.Conv2d(1, 3, 1)}, r"the model must give \(N, 6, …\) for 6 classes; got \(4, 3, 48, 48\)"),
    ({"model": lambda: nn.Conv2d(2, 6, 1)}, r"the model fails on a batch of shape \(4, 1, 48, 48\)"),
    ({"data": Data(iter([]), DATA.validation, DATA.test, DATA.classes)}, "can be iterated only once"),
    ({"data": "nowhere.npz"}, "there is no file nowhere.npz"),
    ({"out": "/proc/nothing/here"}, "cannot write to /proc/nothing/here"),
]


@pytest.mark.parametrize(("changes", "told"), WRONG, ids=[told[:40] for _, told in WRONG])
def test_wrong_input_is_refused_before_training(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        studies.compare(**{"losses": [one], **TINY, **changes})
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills up while the page is written: what was there stays, or nothing, and the error names the file."""
    from lossary.studies import files

    studies.compare("cross_entropy", **{**TINY, "epochs": 1, "seeds": 1}, out=tmp_path)
    whole = (tmp_path / FILE).read_text()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    for path in (tmp_path / FILE, tmp_path / "new.html"):
        with pytest.raises(OSError, match="No space left on device; it was not written") as caught:
            files.write_whole(path, "x" * 100_000)
        assert caught.value.filename == str(path)
    assert (tmp_path / FILE).read_text() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == [REPORT, FILE]


def test_one_folder_holds_one_comparison_at_a_time(tmp_path: Path) -> None:
    calls = 0

    def second(prediction: Tensor, target: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            with pytest.raises(
                InputError, match=f"another run is writing to {tmp_path}; wait until it ends, or choose"
            ):
                studies.compare("cross_entropy", **TINY, out=tmp_path)
        return F.cross_entropy(prediction, target)

    assert studies.compare({"second": second}, **TINY, out=tmp_path).complete
    assert calls > 3
    # a run that was killed leaves no lock behind: the system drops it with the process
    code = "import os, sys; from pathlib import Path; from lossary.studies.files import only_here\n"
    code += "with only_here(Path(sys.argv[1])): os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 9
    assert studies.compare({"again": F.cross_entropy}, **TINY, out=tmp_path).complete
    assert sorted(path.name for path in tmp_path.iterdir()) == [REPORT, FILE]


def test_a_model_of_too_many_classes_is_refused_before_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from lossary.studies import memory

    monkeypatch.setattr(memory, "free", lambda: 2**20)
    told = (
        r"a model of 6 classes, whose output has 6 × 48 × 48 numbers .* needs about 1.33 MiB of memory, and 1 MiB are"
    )
    with pytest.raises(InputError, match=told):
        studies.compare([one], **TINY)
