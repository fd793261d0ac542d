"""`lossary.keras.KerasLoss` on the three backends of Keras, each in a process of its own: Keras has one a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BACKENDS = ["tensorflow", "jax", "torch"]


def run(backend, *arguments):
    # one thread, since other tests run beside these; no optimizations, since JAX compiles more here than it computes
    quick = {"OMP_NUM_THREADS": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    environment = {**os.environ, **quick, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_cases(backend):
    cases = Path(__file__).with_name("keras_cases.py")
    result = run(backend, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(cases))
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_import_brings_nothing_but_keras():
    """Keras itself may import more than its backend; Lossary adds nothing to that."""
    frameworks = "print(sorted({'torch', 'jax', 'tensorflow'} & set(sys.modules)))"
    result = run("jax", "-c", f"import sys, keras; {frameworks}; import lossary.keras; {frameworks}")
    keras_alone, with_lossary = result.stdout.splitlines()[-2:]
    assert "jax" in keras_alone
    assert with_lossary == keras_alone
