"""Information: entropies and divergences of distributions, as plain functions of arrays of any library.

A distribution is a row of probabilities along `axis`; the result has the shape without that axis. `base` is the unit: 2
for bits (the default), `math.e` for nats, 10 for digits. 0·log 0 is 0. To train with these, take `lossary.EntropyLoss`,
`CrossEntropyLoss`, `KLDivLoss` and `JSDivLoss`, which also read logits and stay finite where these are infinite.

A weather station tells which of eight kinds of weather comes, four of them rare. A code of two to five bits for each
kind sends 2.42 bits a day where the rare ones have the long words, and 4.58 where it is the other way round:

>>> import math, numpy as np
>>> weather = np.array([0.35, 0.35, 0.1, 0.1, 0.04, 0.04, 0.01, 0.01])
>>> code = 0.5 ** np.array([2, 2, 3, 3, 4, 4, 5, 5])
>>> round(float(entropy(weather)), 3)
2.229
>>> [round(float(entropy(weather, base=unit)), 3) for unit in (math.e, 10)]  # the same in nats and in digits
[1.545, 0.671]
>>> round(float(cross_entropy(weather, code)), 2), round(float(cross_entropy(weather[::-1], code)), 2)
(2.42, 4.58)

That code wastes 1/16 of its words, so it is no distribution. Its divergence is that of the one it is proportional to:

>>> float(code.sum())
0.9375
>>> round(float(kl_divergence(weather[::-1], code / code.sum())), 3)
2.258
"""

from __future__ import annotations

import math

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import apply_where, sizes
from lossary.core import contract


def entropy(p: Array, *, base: float = 2, axis: int = -1) -> Array:
    r"""Shannon entropy $-\sum p \log p$: what an outcome tells on average.

    >>> import math, numpy as np
    >>> round(float(entropy(np.array([0.75, 0.25]))), 3)
    0.811
    >>> math.isclose(entropy(np.full(10, 0.1), base=10), 1)
    True
    """
    xp, (p,) = _distributions("entropy", axis, p=p)
    return _minus_sum(xp, _weigh(xp, p, _log(xp, p)), axis) / _unit("entropy", base)


def cross_entropy(p: Array, q: Array, *, base: float = 2, axis: int = -1) -> Array:
    r"""Cross entropy $-\sum p \log q$: the mean length of a code made for q where p is true.

    It is infinite where q rules out what p holds.

    >>> import numpy as np
    >>> float(cross_entropy(np.array([1.0, 0.0]), np.array([0.25, 0.75])))
    2.0
    """
    xp, (p, q) = _distributions("cross_entropy", axis, p=p, q=q)
    return _minus_sum(xp, _weigh(xp, p, _log(xp, q)), axis) / _unit("cross_entropy", base)


def kl_divergence(p: Array, q: Array, *, base: float = 2, axis: int = -1) -> Array:
    r"""Kullback-Leibler divergence $\sum p \log (p/q)$ of p from q: what it costs to take q for the true p.

    >>> import numpy as np
    >>> float(kl_divergence(np.array([1.0, 0.0]), np.array([0.25, 0.75])))
    2.0
    """
    xp, (p, q) = _distributions("kl_divergence", axis, p=p, q=q)
    # p is possible wherever it weighs, so there the difference is never one of two infinities
    difference = xp.where(p > 0, _log(xp, xp.where(p > 0, p, 1.0)) - _log(xp, q), 0.0)
    return xp.sum(_weigh(xp, p, difference), axis=axis) / _unit("kl_divergence", base)


def js_divergence(p: Array, q: Array, *, base: float = 2, axis: int = -1) -> Array:
    r"""Jensen-Shannon divergence: the mean divergence of p and q from $(p+q)/2$; at most 1 bit.

    >>> import numpy as np
    >>> float(js_divergence(np.array([1.0, 0.0]), np.array([0.0, 1.0])))
    1.0
    """
    _, (p, q) = _distributions("js_divergence", axis, p=p, q=q)
    middle = 0.5 * (p + q)
    return 0.5 * (kl_divergence(p, middle, base=base, axis=axis) + kl_divergence(q, middle, base=base, axis=axis))


def perplexity(p: Array, *, axis: int = -1) -> Array:
    r"""$2^{H(p)}$: among how many equally likely outcomes a choice would be as open. It is the same in every base.

    >>> import numpy as np
    >>> round(float(perplexity(np.array([0.25, 0.25, 0.25, 0.25]))), 9)
    4.0
    """
    xp, (p,) = _distributions("perplexity", axis, p=p)
    return xp.exp(entropy(p, base=math.e, axis=axis))


def _distributions(name: str, axis: int, **given: Array) -> tuple[Namespace, list[Array]]:
    """The arrays of a call in one library, shape and compute dtype; inside `checked()` also as distributions.

    q may be a code, whose 2^-length sum to less than 1, so it is not checked.
    """
    first = given["p"]
    rest = {argument: x for argument, x in given.items() if argument != "p"}
    xp, first, others = contract.arrays(name, first, "p", **rest)
    dtype = contract.compute_dtype(name, xp, first, "p")
    shape = sizes(first)
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"{name}: `p` has shape {shape}, which has no axis {axis} (`axis`) for the outcomes")
    for argument, x in others.items():
        contract.same_shape(name, first, x, argument, of="p")
    if contract.checking(first):
        contract.distribution(name, "p", first, axis)
    return xp, [contract.cast(xp, x, dtype) for x in (first, *others.values())]


def _unit(name: str, base: float) -> float:
    """The natural logarithm of the base."""
    number = isinstance(base, (int, float))  # pyright: ignore[reportUnnecessaryIsInstance]
    if not (number and base > 0 and base != 1 and math.isfinite(base)):
        raise ValueError(f"{name}: `base` must be above 0 and not 1, as 2 (bits), math.e (nats) or 10; got {base!r}")
    return math.log(base)


def _log(xp: Namespace, x: Array) -> Array:
    return apply_where(xp, x > 0, xp.log, x, float("-inf"))


def _weigh(xp: Namespace, p: Array, x: Array) -> Array:
    """p·x, and 0 where p is 0, whatever x is."""
    return p * xp.where(p > 0, x, 0.0)


def _minus_sum(xp: Namespace, x: Array, axis: int) -> Array:
    return 0.0 - xp.sum(x, axis=axis)  # where there is nothing to tell, that is 0 and not -0
