"""Ablations: training variants on equal terms and comparing them."""
