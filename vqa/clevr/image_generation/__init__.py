"""Generating images: scene sampling, the camera, and rendering with Blender."""
