"""Helpers that know nothing of CLEVR or of models: files, images, tables, Markdown, shipped resources."""
