"""Benchmarks. They print tables; they are not tests and never fail because of a time."""
