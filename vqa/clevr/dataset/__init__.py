"""Datasets on disk: loading, the packed form, download, validation and derived splits."""

from vqa.clevr.dataset.loading import export_data, open_data, open_images, pack_data
from vqa.clevr.dataset.packed import PackedDataset

__all__ = ["PackedDataset", "export_data", "open_data", "open_images", "pack_data"]
