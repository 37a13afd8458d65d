"""Benchmarks against stock engines; ``tools/benchmarks/run.py`` runs them."""
