"""Speed, each number beside its peer or floor in one run: `python -m benchmarks`."""
