"""Calibration: the temperature of confidences, and the thresholds of out-of-distribution detection."""
