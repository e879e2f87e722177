"""Evaluation: published benchmarks scored by their own rules."""
