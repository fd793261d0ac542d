"""`lossary.keras.KerasLoss` on the three backends of Keras, each in a process of its own: Keras has one a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BACKENDS = ["tensorflow", "jax", "torch"]


def run(backend, *arguments):
    # cases that need the processor for themselves do not exist here: the other core belongs to the other tests
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_cases(backend):
    cases = Path(__file__).with_name("keras_cases.py")
    result = run(backend, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(cases))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_import_brings_nothing_but_keras(backend):
    """Keras itself may import more than its backend; Lossary adds nothing to that."""
    frameworks = "print(sorted({'torch', 'jax', 'tensorflow'} & set(sys.modules)))"
    result = run(backend, "-c", f"import sys, keras; {frameworks}; import lossary.keras; {frameworks}")
    keras_alone, with_lossary = result.stdout.splitlines()[-2:]
    assert backend in keras_alone
    assert with_lossary == keras_alone
