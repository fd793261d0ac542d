"""One array language over NumPy, PyTorch, JAX and TensorFlow: `namespace` and the numerical primitives."""
