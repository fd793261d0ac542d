"""Every example runs as a newcomer would run it, without a warning, and learns."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example):
    # one thread, since other tests run beside these: threads that wait for a busy processor took 70 times as long
    environment = {**os.environ, "KERAS_BACKEND": "jax", "OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-W", "error", example], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    accuracies = [float(found) for found in re.findall(r"accuracy (0\.\d+|1\.0+)", result.stdout)]
    assert accuracies[-1] > 0.85, result.stdout
