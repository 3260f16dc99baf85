"""Objectives: pure functions from activations to one score per image."""
