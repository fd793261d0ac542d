"""`lossary compare` as a person and as a program meet it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lossary.cli import app

run = CliRunner()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file of 15 images with two classes."""
    rng = np.random.default_rng(0)
    masks = np.zeros((15, 16, 16), int)
    masks[:, 4:9, 5:11] = 1
    images = (masks + rng.normal(0, 0.3, masks.shape)).astype(np.float32)
    np.savez(tmp_path / "own.npz", images=images, masks=masks, labels=np.arange(15) % 3)
    return tmp_path / "own.npz"


def test_own_data_table_and_report(own: Path, tmp_path: Path) -> None:
    arguments = ["--losses", "cross_entropy,dice", "--seeds", "1", "--epochs", "1", "--data", str(own)]
    result = run.invoke(app, ["compare", "segmentation", *arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "cross_entropy" in result.stdout
    assert "mIoU" in result.stdout
    assert "2 runs in 0 min" in result.stdout
    assert (tmp_path / "out" / "report.html").exists()


def test_json_is_all_of_stdout(own: Path, tmp_path: Path) -> None:
    arguments = ["--losses", "cross_entropy", "--seeds", "2", "--epochs", "1", "--data", str(own), "--json"]
    result = run.invoke(app, ["compare", "classification", *arguments, "--out", str(tmp_path / "out")])
    found = json.loads(result.stdout)
    assert result.stderr == ""
    assert found["complete"] is True
    assert found["summary"][0]["loss"] == "cross_entropy"
    assert set(found["summary"][0]["metrics"]) == {"balanced_accuracy", "macro_f1", "calibration_error"}
    assert json.loads((tmp_path / "out" / "results.json").read_text())["runs"] == found["runs"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["segmentation", "--losses", "focl"], "focal"),
        (["segmentation", "--losses", "mse"], "does not suit segmentation"),
        (["segmentaton"], "there are segmentation, classification, detection, regression, sequence"),
        (["segmentation", "--seeds", "0"], "`seeds` must be at least 1; got 0"),
        (["segmentation", "--epochs", "-3"], "`epochs` must be above 0; got -3"),
        (["segmentation", "--threads", "0"], "`threads` must be above 0; got 0"),
        (["segmentation", "--data", "nowhere.npz"], "there is no file nowhere.npz"),
        (["segmentation", "--out", "/proc/x"], "cannot write to /proc/x"),
        (["segmentation", "--outliers", "0"], "--outliers is for regression on the built-in data"),
        (["regression", "--outliers", "some"], "--outliers takes numbers such as 0,.05,.2; got 'some'"),
        (["regression", "--outliers", "0,1"], "`outliers` must be in [0, 1); got 1"),
        (["regression", "--losses", "cross_entropy", "--outliers", "0"], "does not suit regression"),
        (["regression", "--losses", "dice", "--outliers", "0"], "in 'dice'"),
        (["sequence", "--losses", "cross_entropy"], "does not suit sequence"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run.invoke(app, ["compare", *arguments])
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_ctrl_c_shows_what_is_there(own: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--losses", "cross_entropy,dice", "--epochs", "2000", "--data", str(own), "--out", str(out)]
    # a shell that starts the suite in the background ignores Ctrl-C, and children inherit that
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from lossary.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "compare", "segmentation", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    deadline = time.monotonic() + 120  # a busy machine takes long to import torch
    while not (out / "results.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    try:
        stdout, stderr = process.communicate(timeout=150)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "Incomplete" in stdout
    assert json.loads((out / "results.json").read_text())["complete"] is False
    assert "Incomplete" in (out / "report.html").read_text()


def test_the_command_line_starts_without_torch() -> None:
    code = "import sys, lossary.cli, lossary.studies; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
