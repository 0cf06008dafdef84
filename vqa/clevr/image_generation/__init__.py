"""Generating images: scene sampling, the camera, and rendering with Blender."""

from vqa.clevr.image_generation.camera import object_map, visible_pixels
from vqa.clevr.image_generation.sample_scenes import Layout, annotate, sample_layout

__all__ = ["Layout", "annotate", "object_map", "sample_layout", "visible_pixels"]
