"""Evaluation: predictions, metrics with confidence intervals, compositional splits and reports."""
