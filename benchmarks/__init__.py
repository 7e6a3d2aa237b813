"""Benchmarks: what the service costs, as ratios to bare tools measured in the same run. See README.md."""
