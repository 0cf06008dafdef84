"""Generating questions: templates, their instantiation on scenes, and the composed families."""
