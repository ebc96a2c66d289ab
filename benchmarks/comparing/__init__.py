"""Ratios, intervals, verdicts."""
