"""Speed and memory against other libraries and the native limit: `python -m benchmarks --help`."""
