"""The losses of optax, which are unreduced."""

from __future__ import annotations

import numpy as np
import pytest

import lossary as L
from parity.samples import distributions, masks, numbers, rows

optax = pytest.importorskip("optax", reason="optax is not installed: pip install optax")
jnp = pytest.importorskip("jax.numpy", reason="optax needs JAX: pip install lossary[jax]")


def close(ours, *theirs):
    for value in theirs:
        np.testing.assert_allclose(np.asarray(ours), np.asarray(value), rtol=2e-5, atol=2e-6)


def arrays(draw):
    return [jnp.asarray(x.numpy().astype("float32" if x.is_floating_point() else "int32")) for x in draw()]


def test_regression():
    x, y = arrays(numbers)
    none = {"reduction": "none"}
    close(L.HuberLoss(delta=1.7, **none)(x, y), optax.losses.huber_loss(x, y, delta=1.7))
    close(L.LogCoshLoss(**none)(x, y), optax.losses.log_cosh(x, y))
    close(L.MSELoss(**none)(x, y), optax.losses.squared_error(x, y), 2 * optax.losses.l2_loss(x, y))


def test_cross_entropy():
    z, t = arrays(rows)
    close(L.CrossEntropyLoss(reduction="none")(z, t), optax.losses.softmax_cross_entropy_with_integer_labels(z, t))
    z, p = arrays(distributions)
    close(L.CrossEntropyLoss(reduction="none")(z, p), optax.losses.softmax_cross_entropy(z, p))
    poly = optax.losses.poly_loss_cross_entropy
    close(L.PolyLoss(epsilon=1.5, reduction="none")(z, p), poly(z, p, epsilon=1.5))


def test_binary():
    z, hard, soft = arrays(masks)
    close(L.BCELoss(reduction="none")(z, soft), optax.losses.sigmoid_binary_cross_entropy(z, soft))
    ours = L.FocalLoss("binary", alpha=0.3, gamma=1.5, reduction="none")
    close(ours(z, hard), optax.losses.sigmoid_focal_loss(z, hard, alpha=0.3, gamma=1.5))


def test_hinge():
    z, t = arrays(rows)
    close(L.HingeLoss("multiclass", reduction="none")(z, t), optax.losses.multiclass_hinge_loss(z, t))
    signs = jnp.where(z[:, 0] > 0, 1, -1)
    close(L.HingeLoss("binary", reduction="none")(z[:, 1], signs), optax.losses.hinge_loss(z[:, 1], signs))


def test_kl():
    z, t = arrays(distributions)
    log_p = z - jnp.log(jnp.sum(jnp.exp(z), 1, keepdims=True))
    ours = L.KLDivLoss(prediction_form="log_probs", reduction="none")
    close(ours(log_p, t), optax.losses.kl_divergence(log_p, t))


def test_ctc():
    """optax wants 0 and 1 for what is padding, and gives a large number where a target is impossible."""
    z = jnp.asarray(np.random.default_rng(0).normal(size=(3, 6, 4)), jnp.float32)
    target = jnp.asarray([[1, 1, 2], [3, 2, 0], [1, 1, 1]])
    lengths, target_lengths = jnp.asarray([6, 4, 4]), jnp.asarray([3, 2, 3])
    behind = [(jnp.arange(size) >= n[:, None]).astype(jnp.float32) for size, n in ((6, lengths), (3, target_lengths))]
    ours = L.CTCLoss(reduction="none")(z, target, lengths=lengths, target_lengths=target_lengths)
    theirs = optax.ctc_loss(z, behind[0], target, behind[1])
    close(ours[:2], theirs[:2])
    assert ours[2] == 0
    assert theirs[2] > 1e4
