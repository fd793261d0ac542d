"""What docstrings name under "Elsewhere" exists: every dotted name of a library that is installed here is found."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re

import pytest

import lossary as L

SHORT = {
    "F": "torch.nn.functional",
    "jnp": "jax.numpy",
    "smp": "segmentation_models_pytorch",
    "tf": "tensorflow",
}
"""How prose abbreviates a library."""

LIBRARIES = (
    "jax",
    "keras",
    "kornia",
    "monai",
    "optax",
    "pytorch_metric_learning",
    "scipy",
    "sklearn",
    "statsmodels",
    "tensorflow",
    "timm",
    "torch",
    "torchaudio",
    "torchmetrics",
    "torchvision",
    *SHORT.values(),
)


def elsewhere(cls: type) -> set[str]:
    """The dotted names of the paragraph "Elsewhere", spelt out."""
    paragraph = re.search(r"Elsewhere:(.*?)(?:\n\n|\Z)", cls.__doc__ or "", re.DOTALL)
    names = re.findall(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", paragraph[1] if paragraph else "")
    spelt = (".".join([SHORT.get(head, head), *rest]) for head, *rest in (name.split(".") for name in names))
    return {name for name in spelt if name.split(".")[0] in {library.split(".")[0] for library in LIBRARIES}}


if importlib.util.find_spec("tensorflow") is None:
    os.environ.setdefault("KERAS_BACKEND", "torch")  # in the environment of the peers

NAMES = sorted({(cls.__name__, name) for cls in L.catalogue() for name in elsewhere(cls)})


def find(name: str) -> object:
    """The object of a dotted name: as much of it as is a module is imported, the rest are attributes."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[end:]:
            found = getattr(found, attribute)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize(("loss", "name"), NAMES)
def test_it_exists(loss: str, name: str) -> None:
    if importlib.util.find_spec(name.split(".")[0]) is None:
        pytest.skip(f"{name.split('.')[0]} is not installed")
    find(name)
