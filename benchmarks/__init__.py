"""Measures airq's speed and memory beside peers that do the same job: `python -m benchmarks`."""
