"""Alignments inside JAX's `shard_map`, on two devices that are one CPU; test_sequence.py runs this file by itself:
the number of devices is fixed when JAX begins."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

import lossary as L

random = np.random.default_rng(0)
N, T, U, C = 4, 5, 2, 4
target = jnp.asarray(random.integers(1, C, (N, U)))
lengths = {"lengths": jnp.asarray([5, 4, 5, 3]), "target_lengths": jnp.asarray([2, 1, 0, 2])}
CASES = [
    (L.CTCLoss(), jnp.asarray(random.normal(size=(N, T, C)), jnp.float32)),
    (L.RNNTLoss(), jnp.asarray(random.normal(size=(N, T, U + 1, C)), jnp.float32)),
]

assert len(jax.devices()) == 2
mesh = Mesh(np.array(jax.devices()), ("data",))
rows = PartitionSpec("data")

for loss, logits in CASES:
    whole, slope = jax.value_and_grad(lambda x, loss=loss: loss(x, target, **lengths))(logits)

    @jax.jit
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=rows, out_specs=(PartitionSpec(), rows))
    def sharded(x, y, sizes, loss=loss):
        def value(x):
            return loss.finalize(jax.lax.psum(loss.statistics(x, y, **sizes), "data"))

        return jax.value_and_grad(value)(x)

    found, gradient = sharded(logits, target, lengths)
    np.testing.assert_allclose(found, whole, rtol=1e-6)
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-7)
print("both exact")
