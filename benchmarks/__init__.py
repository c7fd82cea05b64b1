"""Benchmarks and proofs: a light page server, rivals, figures with budgets, and promises proved by real runs."""
