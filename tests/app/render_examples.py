"""Render the page's examples again: `uv run python tests/app/render_examples.py`; the scenes of clevr-mini val."""

from app.examples import FOLDER, IMAGES, SPLIT
from vqa.clevr.annotations import read_scenes, scenes_path
from vqa.clevr.image_generation.blender import RenderSettings, render_layouts, save_image
from vqa.clevr.image_generation.sample_scenes import Layout
from vqa.utils.resources import shipped

if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    layouts = map(Layout.of_scene, read_scenes(scenes_path(shipped(FOLDER), SPLIT)).values())
    for layout, image in render_layouts(layouts, RenderSettings(480, 320, 64), workers=1):
        save_image(image, IMAGES / layout.scene.image_filename)
        print(IMAGES / layout.scene.image_filename)
