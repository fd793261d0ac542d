"""A loss in a plain JAX loop: a loss is a value, so `jax.jit` takes it as a static argument."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

import lossary as L


def predict(parameters, x):
    hidden = jax.nn.relu(x @ parameters["w1"] + parameters["b1"])
    return hidden @ parameters["w2"] + parameters["b2"]


@partial(jax.jit, static_argnums=0)
def step(loss, parameters, x, y, rate):
    """One step of gradient descent."""
    value, gradients = jax.value_and_grad(lambda p: loss(predict(p, x), y))(parameters)
    return value, jax.tree.map(lambda p, g: p - rate * g, parameters, gradients)


def main() -> None:
    images, labels = load_digits(return_X_y=True)
    x, y = jnp.asarray(images / 16, jnp.float32), jnp.asarray(labels)
    train, test = np.arange(1400), np.arange(1400, len(x))

    random = np.random.default_rng(0)
    start = {
        "w1": jnp.asarray(random.normal(0, 64**-0.5, (64, 64)), jnp.float32),
        "b1": jnp.zeros(64),
        "w2": jnp.asarray(random.normal(0, 64**-0.5, (64, 10)), jnp.float32),
        "b2": jnp.zeros(10),
    }

    # two losses are two values of one argument; equal losses share the compiled step
    for loss in (L.CrossEntropyLoss(label_smoothing=0.05), L.FocalLoss("multiclass", gamma=2.0)):
        parameters = start
        for _ in range(20):
            for batch in random.permutation(train).reshape(-1, 100):
                value, parameters = step(loss, parameters, x[batch], y[batch], 0.5)
        accuracy = (predict(parameters, x[test]).argmax(1) == y[test]).mean()
        print(f"{loss}: last loss {value:.3f}, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
