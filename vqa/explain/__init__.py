"""Explanations: what is behind an answer, what channels track, and whether they matter."""
