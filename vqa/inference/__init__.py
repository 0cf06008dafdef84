"""Answering questions with a trained checkpoint, and knowing when an input is out of distribution."""
