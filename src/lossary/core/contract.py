"""What a call accepts, and what it says when something else comes.

Shapes and dtypes are always checked: that costs microseconds and never reads a value. Values are read where that costs
no wait (labels in eager CPU code) and, for everything else, inside `with lossary.checked():`.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

import numpy as np

from lossary.array.namespace import (
    Array,
    Namespace,
    convert,
    eager,
    in_loss_parallel,
    is_array,
    is_numpy,
    is_sharded,
    is_torch,
    kind,
    namespace,
    to_numpy,
)
from lossary.array.primitives import sizes
from lossary.core.options import Domain

Shape = tuple[int | None, ...]

_checked = contextvars.ContextVar("lossary_checked", default=False)


@contextlib.contextmanager
def checked() -> Generator[None]:
    """Inside this block every call also checks values: ranges, one-hot targets, probabilities, box order, labels.

    Reading values makes the program wait for the device, so it is not the default. Code that is being compiled or
    traced has no values to read and is not checked.

    >>> import numpy as np, lossary
    >>> with lossary.checked():
    ...     lossary.BCELoss()(np.zeros(2), np.array([0.0, 3.0]))
    Traceback (most recent call last):
    ValueError: BCELoss: `target` must lie in [0, 1]; got 3 at [1].
    """
    token = _checked.set(True)
    try:
        yield
    finally:
        _checked.reset(token)


def checking(x: Array) -> bool:
    """Whether the values of `x` are to be checked in this call."""
    return eager(x) and _checked.get()


# --- arrays ----------------------------------------------------------------------------------------------------------


def arrays(
    name: str, prediction: Array, of: str = "prediction", **others: Array | None
) -> tuple[Namespace, Array, dict[str, Array]]:
    """The namespace of the prediction (`of` is what the caller calls it), the prediction, and the other arrays of the
    call in its library.

    NumPy arrays may stand beside JAX and TensorFlow ones, as those libraries allow; torch refuses them, and so do we.
    """
    if not is_array(prediction):
        raise TypeError(f"{name}: `{of}` must be an array of torch, JAX, TensorFlow or NumPy; got {kind(prediction)}")
    library = kind(prediction)
    prediction = admitted(name, of, prediction)
    converted: dict[str, Array] = {}
    for argument, value in others.items():
        if value is None:
            continue
        if not is_array(value):
            raise TypeError(f"{name}: `{argument}` must be an array like `{of}` ({library}); got {kind(value)}")
        value = admitted(name, argument, value)
        if kind(value) != library:
            if not is_numpy(value) or library == "torch":
                raise TypeError(
                    f"{name}: `{of}` is an array of {library} and `{argument}` of {kind(value)}; convert one of them"
                )
            value = _beside(name, argument, value, prediction)
        converted[argument] = value
    return namespace(prediction), prediction, converted


def sharded(name: str, arrays: Mapping[str, Array], takes_sharded: bool) -> None:
    """Refuses what cannot be computed of DTensors of torch: by losses other than those of single elements, beside
    whole tensors, and inside `loss_parallel()`."""
    parts = [argument for argument, x in arrays.items() if is_sharded(x)]
    if not parts:
        return
    cure = f"Pass `{parts[0]}.full_tensor()`"
    whole = [argument for argument in arrays if argument not in parts]
    if whole:
        raise TypeError(
            f"{name}: `{parts[0]}` is a DTensor, sharded over processes, and `{whole[0]}` a tensor of this process. "
            f"{cure}"
        )
    if not takes_sharded:
        cure += ", or the shard of this process to `lossary.torch.Criterion(loss, process_group=...)`"
        raise TypeError(f"{name}: `{parts[0]}` is a DTensor, of which this loss has no sharded form. {cure}")
    if in_loss_parallel():
        raise TypeError(
            f"{name}: `{parts[0]}` is a DTensor inside `loss_parallel()`, where log-softmax serves torch's own cross "
            f"entropy alone. {cure}, or call the loss outside of the block"
        )


def admitted(name: str, argument: str, x: Array) -> Array:
    """The array, if its operations mean what formulas take them to mean: one real number per element, in the byte order
    of this machine. This is the one door: every array of every call comes through it."""
    if is_numpy(x):
        x = _plain(name, argument, x)
    elif is_torch(x):
        _dense(name, argument, x)
    text = str(x.dtype)
    if "qint" not in text and "quint" not in text and ("float" in text or "int" in text or "bool" in text):
        return x
    cure = "Convert it to a floating, integer or bool dtype."
    if "complex" in text:
        cure = "Losses are of real numbers: pass its real and imaginary part, or its magnitude."
    elif text == "object":
        cure = "Rows of unlike lengths make such an array: pad them to one length, and pass `mask`."
    raise TypeError(f"{name}: `{argument}` has dtype {text}. {cure}")


def _plain(name: str, argument: str, x: Array) -> Array:
    """A NumPy array itself, without a subclass that gives operators another meaning, in the byte order of this
    machine (FITS and NIfTI files hold the other one)."""
    own = type(x).__name__
    if own == "memmap":
        x = np.asarray(x)
    elif own != "ndarray" and issubclass(type(x), np.ndarray):
        cure = f"pass `np.asarray({argument})`"
        if own == "MaskedArray":
            cure = f"pass `{argument}.data`, and `mask=~np.ma.getmaskarray({argument})` for the elements that count"
        raise TypeError(f"{name}: `{argument}` is a numpy {own}, whose operations are not those of an array; {cure}")
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def _dense(name: str, argument: str, x: Array) -> None:
    """Refuses tensors of torch that lack elements, or hold some that do not count."""
    if type(x).__name__ == "MaskedTensor":  # by name: Dynamo follows no test for a class that may not be imported
        what, cure = "a MaskedTensor", f"`{argument}.get_data()`, with `mask={argument}.get_mask()`"
    elif x.is_nested:
        what, cure = "a nested tensor", f"`{argument}.to_padded_tensor(0.0)`, with a `mask`, False in the padding"
    elif str(x.layout) != "torch.strided":
        what, cure = f"a tensor of layout {x.layout}", f"`{argument}.to_dense()`"
    else:
        return
    raise TypeError(f"{name}: `{argument}` is {what}; losses take dense tensors. Pass {cure}")


def _beside(name: str, argument: str, x: Array, like: Array) -> Array:
    """A NumPy array in the library of another one. JAX without 64 bits halves the width of integers: one that does not
    fit would wrap around."""
    converted = convert(x, like)
    if is_integer(x) and x.size and str(converted.dtype) != str(x.dtype):
        low, high = limits(converted)
        within(name, argument, x, low, high, hint="JAX has 32 bits here; enable 64 with `jax_enable_x64`.")
    return converted


class Arguments(NamedTuple):
    """What a call was given, in one library; dtypes and shapes as they came."""

    name: str  # of the loss, for messages
    xp: Namespace
    dtype: Any  # that it is computed in
    prediction: Array
    others: dict[str, Array]  # "target", "mask", "sample_weight" and operands, where given

    @property
    def target(self) -> Array:
        return self.others["target"]

    def places(self, shape: Shape) -> tuple[Array | None, Array | None]:
        """Mask and sample weight for an unreduced loss of `shape`."""
        return places(self.xp, self.name, shape, self.dtype, self.others)


def compute_dtype(name: str, xp: Namespace, prediction: Array, argument: str = "prediction") -> Any:
    """float64 for float64, float32 for every other floating dtype."""
    dtype = prediction.dtype
    if dtype == xp.float64:
        return xp.float64
    if dtype == xp.float32 or "float16" in str(dtype):  # bfloat16 too
        return xp.float32
    raise TypeError(f"{name}: `{argument}` must be floating; got dtype {dtype}. Convert it to float32 first.")


def cast(xp: Namespace, x: Array, dtype: Any) -> Array:
    return x if x.dtype == dtype else xp.astype(x, dtype)


def is_integer(x: Array) -> bool:
    """Whether the dtype is an integer or bool one, of any width."""
    text = str(x.dtype)
    return "int" in text or "bool" in text


def limits(x: Array) -> tuple[int, int]:
    """The least and the greatest number of an integer dtype."""
    text = str(x.dtype)
    bits = next(n for n in (64, 32, 16, 8, 4, 2) if f"int{n}" in text)
    return (0, 2**bits - 1) if "uint" in text else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def operands(name: str, declared: tuple[str, ...], given: Mapping[str, Any], needed: tuple[str, ...] = ()) -> None:
    """Refuses arguments that the loss does not take, and misses those it needs."""
    for argument in needed:
        if given.get(argument) is None:
            raise TypeError(f"{name}: the call needs `{argument}`: pass `{argument}=...`")
    for argument in given:
        if argument not in declared:
            takes = f"it takes {', '.join(declared)}" if declared else "it takes none beyond the common ones"
            raise TypeError(f"{name}: unknown argument `{argument}`; {takes}")


# --- shapes ----------------------------------------------------------------------------------------------------------


def agree(a: Shape, b: Shape) -> bool:
    """Whether two shapes are equal; a size that TensorFlow does not know yet equals any."""
    return len(a) == len(b) and all(m is None or n is None or m == n for m, n in zip(a, b, strict=True))


def same_shape(name: str, prediction: Array, target: Array, argument: str = "target", of: str = "prediction") -> None:
    p, t = sizes(prediction), sizes(target)
    if agree(p, t):
        return
    hint = ""
    if tuple(n for n in p if n != 1) == tuple(n for n in t if n != 1):
        hint = " They differ by axes of length 1: squeeze or reshape one of them."
    raise ValueError(
        f"{name}: `{of}` has shape {p} and `{argument}` {t}; they must have the same shape, nothing is broadcast.{hint}"
    )


def leading(xp: Namespace, name: str, argument: str, x: Array, shape: Shape) -> Array:
    """`x` with axes of length 1 appended, after checking that it has `shape` or its leading axes."""
    s = sizes(x)
    if not agree(s, shape[: len(s)]):
        raise ValueError(
            f"{name}: `{argument}` has shape {s}; it must have the shape of the unreduced loss, {shape}, or its "
            "leading axes"
        )
    for _ in range(len(shape) - len(s)):
        x = xp.expand_dims(x, axis=-1)
    return x


def places(
    xp: Namespace, name: str, shape: Shape, dtype: object, others: Mapping[str, Array]
) -> tuple[Array | None, Array | None]:
    """Mask (bool) and sample weight (compute dtype) of a call, expanded to the rank of the unreduced loss."""
    mask = weight = None
    if "mask" in others:
        mask = leading(xp, name, "mask", as_mask(xp, name, others["mask"]), shape)
    if "sample_weight" in others:
        weight = leading(xp, name, "sample_weight", cast(xp, others["sample_weight"], dtype), shape)
    return mask, weight


def as_mask(xp: Namespace, name: str, mask: Array) -> Array:
    """A mask as bool; integers are taken as flags, floats refused, because they look like weights."""
    if mask.dtype == xp.bool:
        return mask
    if is_integer(mask):
        return mask != 0
    raise TypeError(f"{name}: `mask` must be bool; got dtype {mask.dtype}. For weights pass `sample_weight`.")


# --- values ----------------------------------------------------------------------------------------------------------


def first_bad(x: Array, bad: Any) -> tuple[Any, list[int]]:
    """The first value at which `bad` (a bool NumPy array) holds, and its index."""
    position = [int(i) for i in np.argwhere(bad)[0]]
    return to_numpy(x)[tuple(position)], position


def shown(value: Any) -> str:
    return f"{float(value):g}" if np.issubdtype(np.asarray(value).dtype, np.floating) else str(int(value))


def within(
    name: str,
    argument: str,
    x: Array,
    low: float,
    high: float,
    where: Array | None = None,
    hint: str = "",
    slack: float = 0.0,
) -> None:
    """Every counted value of `x` lies in [low, high], but for `slack`; NaN does not."""
    values = to_numpy(x)
    bad = ~((values >= low - slack) & (values <= high + slack))
    if where is not None:
        bad &= np.broadcast_to(to_numpy(where), bad.shape)
    if bad.any():
        value, position = first_bad(x, bad)
        raise ValueError(
            f"{name}: `{argument}` must lie in [{low:g}, {high:g}]; got {shown(value)} at {position}."
            + (f" {hint}" if hint else "")
        )


def rounding(x: Array) -> float:
    """How far beyond 0 or 1 a probability of the dtype of `x` may lie by rounding."""
    return 1e-2 if "16" in str(x.dtype) else 1e-6


def in_domain(name: str, argument: str, x: Array, domain: Domain, where: Array | None = None) -> None:
    """Every counted value of `x` lies in a domain; NaN lies in none."""
    values = to_numpy(x)
    low = values > domain.low if domain.above else values >= domain.low
    high = values < domain.high if domain.below else values <= domain.high
    bad = ~(low & high)
    if where is not None:
        bad &= np.broadcast_to(to_numpy(where), bad.shape)
    if bad.any():
        value, position = first_bad(x, bad)
        raise ValueError(f"{name}: `{argument}` must be {domain}; got {shown(value)} at {position}.")


def labels(
    name: str, target: Array, low: int, high: int, ignore_index: int | None, where: Array | None, given: Array
) -> None:
    """Every integer label is in [low, high] or is the ignored one; `given` are the labels in the dtype they came in."""
    if _all_within(target, low, high):
        return  # a pass over the labels that makes no copy: this is the check of every eager call
    values = to_numpy(target)
    bad = (values < low) | (values > high)
    if ignore_index is not None:
        bad &= values != ignore_index
    if where is not None:
        bad &= to_numpy(where)
    if not bad.any():
        return
    value, position = first_bad(given, bad)
    present = set(np.unique(values).tolist())
    if present <= {0, 255} and high == 1:
        cure = "This looks like a mask stored as 0 and 255: pass `mask > 127`."
    elif value in (255, -1, -100):
        cure = f"If it marks places to leave out, pass `ignore_index={int(value)}`."
    elif value == high + 1 and 0 not in present:
        cure = "Labels start at 0: subtract 1."
    else:
        cure = "Correct the labels, or give the model as many outputs as there are classes."
    raise ValueError(f"{name}: label {int(value)} at {position} is not in [{low}, {high}]. {cure}")


def certain(name: str, target: Array, answers: Array, where: Array | None, axis: int | None) -> None:
    """Every counted place has one true answer: `answers` says which do."""
    bad = ~to_numpy(answers)
    if where is not None:
        bad &= np.broadcast_to(to_numpy(where), bad.shape)
    if not bad.any():
        return
    position = [int(i) for i in np.argwhere(bad)[0]]
    values = to_numpy(target)
    if axis is not None:
        held = np.array2string(np.moveaxis(values, axis, -1)[tuple(position)], precision=3, threshold=6)
        raise ValueError(
            f"{name}: `target` must be one-hot along axis {axis}, because each place needs one true class; at "
            f"{position} it holds {held}. Pass class indices, `target.argmax({axis})` say."
        )
    cure = "pass `mask > 127`" if values[tuple(position)] == 255 else "pass `mask > 0.5`, say"
    raise ValueError(
        f"{name}: `target` must be 0 or 1, because each place needs one true answer; got "
        f"{shown(values[tuple(position)])} at {position}; {cure}."
    )


def _all_within(x: Array, low: int, high: int) -> bool:
    if is_torch(x) and x.numel():
        least, greatest = x.aminmax()
        return least.item() >= low and greatest.item() <= high
    values = to_numpy(x)
    return values.size == 0 or (int(values.min()) >= low and int(values.max()) <= high)


def distribution(name: str, argument: str, x: Array, axis: int, where: Array | None = None) -> None:
    """Non-negative and of sum 1 along `axis`."""
    values = np.moveaxis(to_numpy(x).astype(np.float64), axis, -1)
    # half precision rounds each of C probabilities by up to 2**-9
    tolerance = 1e-3 + 2e-3 * (values.shape[-1] if "16" in str(x.dtype) else 0)
    total = values.sum(-1)
    bad = ~((values >= -rounding(x)).all(-1) & (np.abs(total - 1) <= tolerance))
    if where is not None:
        bad &= to_numpy(where)
    if bad.any():
        position = [int(i) for i in np.argwhere(bad)[0]]
        raise ValueError(
            f"{name}: `{argument}` must be a distribution along axis {axis} (non-negative, sum 1); at {position} it "
            f"holds {np.array2string(values[tuple(position)], precision=3, threshold=6)}"
        )


def looks_like_probabilities(name: str, logits: Array, axis: int | None, where: Array | None) -> None:
    """Refuses logits that are probabilities: a second softmax puts a floor under the loss."""
    values = to_numpy(logits).astype(np.float64)
    if where is not None:
        counted = to_numpy(where)
        if axis is not None:
            values = np.moveaxis(values, axis, -1)[counted]
            axis = -1
        else:
            values = values[counted]
    if values.size == 0 or not ((values >= 0) & (values <= 1)).all() or (values == values.flat[0]).all():
        return
    if axis is None and values.size < 16:
        return  # a few logits may well lie in [0, 1]; sixteen do not by chance
    if axis is not None and not np.allclose(values.sum(axis), 1, atol=1e-3):
        return
    raise ValueError(
        f"{name}: `prediction` should hold logits, but all values lie in [0, 1]"
        + (f" and sum to 1 along axis {axis}" if axis is not None else "")
        + "; these look like probabilities. Pass the values before the softmax or sigmoid, or set from_logits=False."
    )


def looks_like_classes_last(name: str, shape: Shape, axis: int | None) -> None:
    """Refuses an image whose last axis is so short beside the others that it must be that of the classes."""
    if axis != 1 or len(shape) < 4 or any(n is None for n in shape):
        return
    *others, last = (n or 0 for n in shape[1:])
    if 2 * last <= min(others):
        raise ValueError(
            f"{name}: `prediction` has shape {shape} with {others[0]} classes on axis 1, but the last axis is much "
            f"shorter than the others; the {last} classes seem to be there. Pass class_axis=-1, or move the axis."
        )
