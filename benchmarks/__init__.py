"""Measurements, kept apart from the tests: they print a table, and never fail over a time."""
