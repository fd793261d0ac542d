"""Small pictures for a page: arrays to PNG that lies inside the HTML."""

from __future__ import annotations

import base64
import io

import numpy as np

_CLASS_COLOURS = ("#56b4e9", "#f0e442", "#ff7f50", "#2fc59a", "#e07bb6", "#9b8cff", "#c9c9c9", "#b5e34d", "#ff9fb2")
"""Bright, to be told apart on a dark image and by most colour-blind readers; more classes repeat them."""

LARGEST = 192
"""Pixels along the side of a picture on the page."""


def class_colours(classes: int) -> list[str]:
    """Colours of the classes from 0; class 0 is the background and is not painted."""
    return ["transparent", *(_CLASS_COLOURS[i % len(_CLASS_COLOURS)] for i in range(classes - 1))]


def grey(inputs: np.ndarray) -> np.ndarray:
    """Images (N, channels, H, W) as (N, H, W) in [0, 1], each from its darkest to its brightest."""
    mean = inputs.mean(1)
    low, high = (np.percentile(mean, q, axis=(1, 2), keepdims=True) for q in (0.5, 99.5))
    return np.clip((mean - low) / np.maximum(high - low, 1e-6), 0, 1)


def overlay(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A grey image, darkened, with the pixels of each class but 0 in its colour: (H, W, 3)."""
    colours = class_colours(int(labels.max()) + 1)
    rgb = np.repeat(0.45 * image[..., None], 3, axis=2)
    for label in map(int, np.unique(labels[labels > 0])):
        colour = np.frombuffer(bytes.fromhex(colours[label].removeprefix("#")), np.uint8) / 255
        rgb[labels == label] = 0.85 * colour + 0.15 * image[labels == label][:, None]
    return rgb


def png(image: np.ndarray) -> str:
    """A grey (H, W) or coloured (H, W, 3) image in [0, 1] as a data URI; a large one is thinned out."""
    from matplotlib.image import imsave  # pyright: ignore[reportUnknownVariableType]

    step = -(-max(image.shape[:2]) // LARGEST)
    image = image[::step, ::step]
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    buffer = io.BytesIO()
    imsave(buffer, rgb, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
