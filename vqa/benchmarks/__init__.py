"""Benchmarks: the speed of layers, training and answering on this machine."""
