"""Datasets on disk: loading, the packed form, download, validation and derived splits."""
