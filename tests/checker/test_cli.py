"""`lossary check` on the command line: what it prints, how it ends, and what it makes of bad input."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lossary.checker import Finding, Report, sandbox
from lossary.cli import app

COMMAND = [sys.executable, "-c", "from lossary.cli import main; main()", "check"]

LOSSES = '''
import time
import torch


def fine(prediction, target):
    if prediction.shape != target.shape:
        raise ValueError(f"shapes differ: {prediction.shape} and {target.shape}")
    error = (prediction - target).to(torch.promote_types(prediction.dtype, torch.float32))
    return error.square().sum() / max(len(error), 1)


def signed(prediction, target):
    return (prediction - target).mean()


def of_three(prediction, target, mask):
    return (prediction - target).mean()


def of_one(prediction):
    return prediction.mean()


def raises(prediction, target):
    raise KeyError("mask")


def returns_text(prediction, target):
    return "0.5"


def endless(prediction, target):
    while True:
        time.sleep(0.1)


def sleeps(prediction, target):
    """Is understood, and hangs at the first number out of the ordinary."""
    while prediction.abs().max() > 1e3:
        time.sleep(0.1)
    return (prediction - target).square().mean()


def ends_the_process(prediction, target):
    import os
    os._exit(3)


'''

WITHOUT_TORCH = """
class NeedsClasses:
    def __init__(self, classes):
        self.classes = classes

    def __call__(self, prediction, target):
        return prediction.sum()


def fine(prediction, target):
    return prediction.sum()


VALUE = 3.0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("losses")
    (made / "mine.py").write_text(LOSSES)
    (made / "plain.py").write_text(WITHOUT_TORCH)
    (made / "broken.py").write_text("import no_such_package\n")
    (made / "wrong.py").write_text("def loss(:\n")
    return made


def check(folder: Path, *arguments: str) -> Result:
    """In this process; the loss itself is always in one of its own."""
    with contextlib.chdir(folder):
        return CliRunner().invoke(app, ["check", *arguments])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plain"], "MODULE:NAME"),
        (["no_such_module:loss"], "no_such_module"),
        (["no_such_file.py:loss"], "there is no file no_such_file.py"),
        (["broken:loss"], "no_such_package"),
        (["wrong.py:loss"], "SyntaxError"),
        (["plain:no_such_loss"], "plain has no 'no_such_loss'"),
        (["plain:NeedsClasses"], "NeedsClasses cannot be made with no options"),
        (["plain:NeedsClasses(count=3)"], "cannot be made with {'count': 3}"),
        (["plain:fine(1)"], "NAME(option=value"),
        (["plain:VALUE"], "float cannot be called"),
        (["mine:of_one"], "TypeError"),
        (["mine:of_three"], "wrap it in a function of two"),
        (["mine:raises"], "KeyError"),
        (["mine:returns_text"], "accepts no known kind of prediction and target"),
        (["mine:ends_the_process"], "exit code 3"),
        (["mine:fine", "--like", "no_such_loss"], "no_such_loss"),
        (["mine:fine", "--like", "huber:delta=-1"], "delta"),
        (["mine:fine", "--task", "poetry"], "--task must be one of"),
        (["mine:fine", "--scores", "odds"], "--scores must be one of"),
        (["mine:fine", "--framework", "caffe"], "--framework must be one of"),
        (["mine:fine", "--fail-on", "poetry"], "--fail-on takes any, slow, fragile, wrong and names of claims"),
        (["mine:fine", "--html", "no_such_folder/report.html"], "no_such_folder"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_2(folder: Path, arguments: list[str], words: str) -> None:
    done = check(folder, *arguments)
    assert done.exit_code == 2, (done.stdout, done.stderr)
    assert done.stdout == ""
    line = done.stderr.strip()
    assert words in line, line
    assert line.startswith("lossary check: "), line
    assert "\n" not in line, line


@pytest.mark.parametrize(
    ("loss", "doing"), [("endless", "finding out what it takes"), ("sleeps", "trying whether the value is finite")]
)
def test_a_loss_that_never_returns_is_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch, loss: str, doing: str
) -> None:
    monkeypatch.setattr(sandbox, "GRACE", 3.0)
    done = check(folder, f"mine:{loss}", "--seconds", "6", "--task", "regression")
    assert done.exit_code == 2, (done.stdout, done.stderr)
    assert "did not return within" in done.stderr
    assert doing in done.stderr


def test_it_holds(folder: Path) -> None:
    done = check(folder, "mine:fine", "--task", "regression")
    assert done.exit_code == 0, (done.stdout, done.stderr)
    assert "claims hold" in done.stdout


@pytest.mark.parametrize(
    ("on", "named"),
    [
        ("any", ["gradient", "empty_batch", "compiles"]),
        ("slow", ["gradient", "empty_batch"]),
        ("wrong", ["gradient"]),
        ("compiles", ["compiles"]),
        ("wrong,empty_batch", ["gradient", "empty_batch"]),
        ("finite_value", []),
    ],
)
def test_what_fail_on_names(on: str, named: list[str]) -> None:
    found = {"gradient": "wrong gradient", "empty_batch": "fragile", "compiles": "style"}
    findings = tuple(Finding(name, "", "", severity, "", "", "", "") for name, severity in found.items())
    report = Report("loss", "values", "", findings, (), (), (), 1.0)
    assert [finding.name for finding in report.failing(on)] == named


@pytest.mark.parametrize(("on", "code"), [("any", 1), ("wrong", 0)])
def test_the_exit_code_is_for_what_fail_on_names(folder: Path, on: str, code: int) -> None:
    done = check(folder, "torch.nn.functional:cross_entropy", "--task", "classification", "--fail-on", on)
    assert done.exit_code == code, (done.stdout, done.stderr)
    assert "an empty batch gives no finite number" in done.stdout  # it is shown all the same


def test_the_number_of_classes_is_an_option(folder: Path) -> None:
    (folder / "weighted.py").write_text(
        "import torch\n\ndef loss(logits, target):\n"
        "    weight = torch.ones(37, dtype=logits.dtype)\n"
        "    return torch.nn.functional.cross_entropy(logits, target, weight=weight)\n"
    )
    done = check(folder, "weighted:loss", "--task", "classification", "--classes", "37", "--fail-on", "wrong")
    assert done.exit_code == 0, (done.stdout, done.stderr)
    assert "It equals CrossEntropyLoss()" in done.stdout


def test_the_printed_code_is_pasted_as_it_stands(folder: Path) -> None:
    """Between its rule and the next, at 80 columns: not indented, no line broken."""
    done = check(folder, "mine:signed", "--task", "regression")
    _, _, text = done.stdout.partition("1 truth_is_best ")
    shown = text.partition("\n")[2].partition("2 ")[0]
    ran = subprocess.run([sys.executable, "-c", shown], cwd=folder, capture_output=True, text=True, timeout=90)
    assert ran.returncode == 0, (shown, ran.stderr)
    assert "tensor(" in ran.stdout


def test_findings_in_every_form(folder: Path) -> None:
    done = check(folder, "mine:signed", "--task", "regression", "--json", "--html", "report.html")
    assert done.exit_code == 1, done.stderr
    report = json.loads(done.stdout)
    failed = {finding["claim"] for finding in report["findings"]}
    assert "no guess is better than the truth" in failed
    page = (folder / "report.html").read_text()
    assert failed
    assert all(finding["fails"] in page for finding in report["findings"])


def test_the_code_of_a_finding_runs_and_shows_it(folder: Path) -> None:
    done = check(folder, "mine:signed", "--task", "regression", "--json")
    worst = json.loads(done.stdout)["findings"][0]
    shown = subprocess.run(
        [sys.executable, "-c", worst["code"]], cwd=folder, capture_output=True, text=True, timeout=90
    )
    assert shown.returncode == 0, shown.stderr
    assert "tensor(" in shown.stdout


def test_an_interrupt_ends_the_process_of_the_loss_too(folder: Path) -> None:
    (folder / "noting.py").write_text(
        "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ndef loss(prediction, target):\n    time.sleep(60)\n"
    )
    with subprocess.Popen([*COMMAND, "noting:loss"], cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        pid = folder / "pid"
        for _ in range(600):
            if pid.exists() and pid.read_text():
                break
            time.sleep(0.1)
        worker = int(pid.read_text())
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "lossary check: interrupted" in said
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
