"""Renders CLEVR images inside Blender's own Python, one job a line; started by blender.py, never imported.

Standard library, numpy and bpy only. The first argument after `--` is a JSON object {"width", "height", "samples"}.
Each line of standard input is a job {"path", "mask", "seed", "camera", "lamps", "objects"}: where to write the PNG,
whether as an instance mask, Cycles' noise seed, the camera's and lamps' object-to-world matrices, and objects {"shape",
"material", "color", "location", "rotation", "scale"}. Each answer is a line that starts with "@": {} when the image is
written, {"error"} when it is not. It ends with its input.

The scene is CLEVR's (Johnson et al. 2017), built in code. Lengths are Blender units, powers watts, colors linear.
"""

import contextlib
import functools
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import bpy  # makes the next two importable

# isort: split
import bmesh
import numpy as np
from mathutils import Matrix

OLDEST_BLENDER = (4, 2, 0)

COLORS = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
}
"""Bytes that CLEVR divides by 255 and takes for linear light."""

AREA_LAMPS = {
    "key": (25 * math.pi, (1.0, 0.9323092, 0.8166636), 0.5),
    "fill": (7.5 * math.pi, (0.7616662, 0.8177196, 1.0), 0.5),
    "back": (12.5 * math.pi, (1.0, 1.0, 1.0), 1.0),
}
"""Name -> power, color, side of the square."""

RENDER = {
    "resolution_percentage": 100,
    "pixel_aspect_x": 1,
    "pixel_aspect_y": 1,
    "threads_mode": "FIXED",
    "threads": 1,
    "use_persistent_data": True,
    "dither_intensity": 0,
    **dict.fromkeys(("film_transparent", "use_compositing", "use_sequencer", "use_file_extension"), False),
}
"""Settings of a scene's `render`: one CPU thread, nothing after the render."""

PNG = {"file_format": "PNG", "color_mode": "RGB", "color_depth": "8", "compression": 0}

CYCLES = {
    "device": "CPU",
    "use_adaptive_sampling": False,
    "use_denoising": True,
    "denoiser": "OPENIMAGEDENOISE",
    "denoising_input_passes": "RGB_ALBEDO_NORMAL",
    "denoising_prefilter": "FAST",
    "denoising_quality": "BALANCED",
    **dict.fromkeys(("max_bounces", "diffuse_bounces", "glossy_bounces"), 4),
    **dict.fromkeys(("transmission_bounces", "volume_bounces"), 0),
    "transparent_max_bounces": 1,
    "blur_glossy": 2.0,
    "caustics_reflective": True,
    "caustics_refractive": True,
    **dict.fromkeys(("sample_clamp_direct", "sample_clamp_indirect", "light_sampling_threshold"), 0),
    "use_light_tree": False,
    "use_fast_gi": False,
    "sampling_pattern": "TABULATED_SOBOL",
    "pixel_filter_type": "BLACKMAN_HARRIS",
    "filter_width": 1.5,
    "film_exposure": 1,
}
"""Settings of a scene's `cycles`: the look of CLEVR, denoised, with bounces that no pixel shows left out."""

MASK = {"samples": 1, "use_denoising": False, "filter_width": 0.01, "max_bounces": 0}
"""What differs in them for a mask."""


def main() -> None:
    """Build the empty scene, then render jobs until the input ends."""
    answers = os.fdopen(os.dup(1), "w")  # Blender chatters on descriptor 1
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def answer(**reply: Any) -> None:
        answers.write(f"@{json.dumps(reply)}\n")
        answers.flush()

    if bpy.app.version < OLDEST_BLENDER:
        answer(error=f"Blender {bpy.app.version_string} is too old: 4.2 or newer is needed")
        return
    build_scene(**json.loads(sys.argv[sys.argv.index("--") + 1]))
    answer(blender=bpy.app.version_string)
    for line in sys.stdin:
        try:
            render(**json.loads(line))
            answer()
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}")


def render(path: str, mask: bool, seed: int, camera: list, lamps: dict[str, list], objects: list[dict]) -> None:
    """Write one image, 8-bit RGB PNG, to `path`; as a mask each pixel is 1 + the index of the object it shows, or 0."""
    scene = bpy.context.scene
    for name, matrix in {"camera": camera, **lamps}.items():
        bpy.data.objects[name].matrix_world = Matrix(matrix)
    placed = [place(**item) for item in objects]
    for number, item in enumerate(placed, start=1):
        item.color = (*[number / 255] * 3, 1)
    scene.cycles.seed = seed
    scene.render.filepath = path
    try:
        with flat_indices() if mask else contextlib.nullcontext():
            bpy.ops.render.render(write_still=True)
    finally:
        for item in placed:
            bpy.data.objects.remove(item)


@contextlib.contextmanager
def flat_indices() -> Iterator[None]:
    """For a while every surface shines with its object's color alone, and is seen through the pixels' centres."""
    scene, layer = bpy.context.scene, bpy.context.view_layer
    before = {name: getattr(scene.cycles, name) for name in MASK}
    set_all(scene.cycles, MASK)
    scene.view_settings.view_transform, layer.material_override = "Raw", index_material()
    try:
        yield
    finally:
        set_all(scene.cycles, before)
        scene.view_settings.view_transform, layer.material_override = "Standard", None


def place(shape: str, material: str, color: str, location: list, rotation: float, scale: float) -> bpy.types.Object:
    """An object of the scene; its rotation about Z is in radians, though CLEVR draws it from 0 to 360."""
    item = link(bpy.data.objects.new(shape, painted_mesh(shape, material, color)))
    item.location = location
    item.rotation_euler = (0, 0, rotation)
    item.scale = (scale,) * 3
    return item


def link(item: bpy.types.Object) -> bpy.types.Object:
    bpy.context.scene.collection.objects.link(item)
    return item


# --- everything that never changes -----------------------------------------------------------------------------------


def build_scene(width: int, height: int, samples: int) -> None:
    """Settings, camera, lamps and ground of an empty CLEVR scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    set_up_render(width, height, samples)
    camera = bpy.data.cameras.new("camera")
    camera.lens, camera.sensor_width, camera.sensor_fit = 35, 32, "AUTO"
    camera.clip_start, camera.clip_end = 0.1, 100
    bpy.context.scene.camera = link(bpy.data.objects.new("camera", camera))
    for name, (power, color, side) in AREA_LAMPS.items():
        lamp = add_lamp(name, "AREA", power, color)
        lamp.shape, lamp.size = "SQUARE", side
    sun = add_lamp("sun", "SUN", 0.45, (1, 1, 1))
    sun.angle = 0.1993373
    bpy.data.objects["sun"].rotation_euler = (0.2360285, 0.4168804, 0.0970794)
    add_ground()


def set_up_render(width: int, height: int, samples: int) -> None:
    """Cycles on one CPU thread, in CLEVR's colors."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.world = bpy.data.worlds.new("black")
    nodes_of(scene.world).nodes["Background"].inputs["Strength"].default_value = 0
    for settings, values in (
        (scene.render, {**RENDER, "resolution_x": width, "resolution_y": height}),
        (scene.render.image_settings, PNG),
        (scene.display_settings, {"display_device": "sRGB"}),
        (scene.view_settings, {"view_transform": "Standard", "look": "None", "exposure": 0, "gamma": 1}),
        (scene.cycles, {**CYCLES, "samples": samples}),
    ):
        set_all(settings, values)


def set_all(owner: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(owner, name, value)


def add_lamp(name: str, kind: str, power: float, color: Sequence[float]) -> Any:
    lamp = bpy.data.lights.new(name, kind)
    lamp.energy, lamp.color = power, color
    lamp.cycles.max_bounces = 1024
    lamp.cycles.use_multiple_importance_sampling = True
    link(bpy.data.objects.new(name, lamp)).visible_camera = False
    return lamp


def add_ground() -> None:
    """The curved backdrop: a profile swept sideways, smoothed by subdivision."""
    t = np.arange(48) / 47
    x = -23.555691 + 92.514382 * t - 126.961147 * t**2 + 79.467127 * t**3 - 17.383470 * t**4
    z = 23.214930 * t**4
    near = np.stack([x, np.zeros(48), z], axis=1)
    k = np.arange(47)
    quads = np.stack([k, k + 1, k + 49, k + 48], axis=1)
    mesh = new_mesh("ground", np.concatenate([near, near - [0, 56.484859, 0]]), [quads])
    mesh.materials.append(ground_material())
    ground = link(bpy.data.objects.new("ground", mesh))
    ground.color = (0, 0, 0, 1)  # of masks
    ground.location = (-24.062761, -17.996670, 0)
    ground.rotation_euler = (0, 0, 2.6979816)
    smooth = ground.modifiers.new("smooth", "SUBSURF")
    smooth.levels = smooth.render_levels = 2


# --- shapes, each reaching from -1 to 1 ------------------------------------------------------------------------------


@functools.cache
def painted_mesh(shape: str, material: str, color: str) -> bpy.types.Mesh:
    mesh = plain_mesh(shape).copy()
    linear = (*(value / 255 for value in COLORS[color]), 1.0)
    mesh.materials.append({"rubber": rubber, "metal": metal}[material](linear))
    return mesh


@functools.cache
def plain_mesh(shape: str) -> bpy.types.Mesh:
    return {"sphere": sphere, "cube": cube, "cylinder": cylinder}[shape]()


def sphere() -> bpy.types.Mesh:
    """An icosphere of 5120 triangles, subdivided once to 15360 flat quads."""
    mesh = bpy.data.meshes.new("icosphere")
    shape = bmesh.new()
    bmesh.ops.create_icosphere(shape, subdivisions=5, radius=1)
    shape.to_mesh(mesh)
    shape.free()
    item = link(bpy.data.objects.new("icosphere", mesh))
    smooth = item.modifiers.new("smooth", "SUBSURF")
    smooth.levels = smooth.render_levels = 1
    smooth.use_limit_surface = False
    result = bpy.data.meshes.new_from_object(item.evaluated_get(bpy.context.evaluated_depsgraph_get()))
    bpy.data.objects.remove(item)
    result.shade_flat()
    return result


def cube() -> bpy.types.Mesh:
    """A cube with edges rounded over a quarter of its half edge to a superellipse of exponent 3, smooth shaded."""
    mesh = bpy.data.meshes.new("cube")
    shape = bmesh.new()
    bmesh.ops.create_cube(shape, size=2)
    bmesh.ops.bevel(
        shape, geom=shape.edges[:], affect="EDGES", offset=0.25, segments=24, profile=2 ** (-2 / 3), clamp_overlap=False
    )
    shape.to_mesh(mesh)
    shape.free()
    mesh.shade_smooth()
    return mesh


def cylinder() -> bpy.types.Mesh:
    """Wall, caps and the two finely curved strips between them, separate pieces, flat shaded."""
    steps = np.array([0, 0, 1, 4, 10, 20, 35, 56, 84, 120, 163, 212, 266, 324, 385, 448, 512]) / 512
    vertices: list[np.ndarray] = []
    faces: list[np.ndarray] = []

    def add(points: np.ndarray, corners: np.ndarray) -> None:
        faces.append(corners + sum(map(len, vertices)))
        vertices.append(points)

    wall = np.concatenate([ring(128, 1, -0.9), ring(128, 1, 0.9)])
    add(wall, band(128, 2))
    for side, cap_radius, width in ((1, 0.909990, 0.089974), (-1, 0.932448, 0.067525)):
        order = slice(None, None, side)  # faces look outward
        fan = np.stack([np.arange(128), (np.arange(128) + 1) % 128, np.full(128, 128)], axis=1)
        add(np.concatenate([ring(128, cap_radius, side), [[0, 0, side]]]), fan[:, order])
        heights, radii = side * (1 - 0.1 * steps), 0.9996046 - width * steps[::-1]
        rings = [ring(1024, radius, height) for radius, height in zip(radii, heights, strict=True)]
        add(np.concatenate(rings), band(1024, len(rings))[:, ::-side])
    mesh = new_mesh("cylinder", np.concatenate(vertices), faces)
    mesh.shade_flat()
    return mesh


def ring(count: int, radius: float, height: float) -> np.ndarray:
    angle = 2 * math.pi * np.arange(count) / count
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(count, height)], axis=1)


def band(columns: int, rings: int) -> np.ndarray:
    """Quads between neighboring rings, facing outward where each ring is above the one before."""
    here = np.arange(columns)
    there = (here + 1) % columns
    one = np.stack([here, there, there + columns, here + columns], axis=1)
    return np.concatenate([one + k * columns for k in range(rings - 1)])


def new_mesh(name: str, vertices: np.ndarray, faces: list[np.ndarray]) -> bpy.types.Mesh:
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(vertices.tolist(), [], [face for part in faces for face in part.tolist()])
    mesh.validate()
    return mesh


# --- materials -------------------------------------------------------------------------------------------------------


def nodes_of(owner: Any) -> Any:
    """The node tree of a material or world; Blender before 5 makes it on request."""
    if owner.node_tree is None:
        owner.use_nodes = True
    return owner.node_tree


class Shading:
    """A material under construction: `node` adds a shader node and returns its output."""

    def __init__(self, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        self.tree = nodes_of(self.material)
        self.tree.nodes.clear()

    def node(self, kind: str, /, *links: Any, **inputs: Any) -> Any:
        """A node with `links` joined to its first inputs (None: left alone), and values by input or property name."""
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in inputs.items():
            if name in node.inputs:
                node.inputs[name].default_value = value
            else:
                setattr(node, name, value)
        for socket, source in zip(node.inputs, links, strict=False):
            if source is not None:
                self.tree.links.new(source, socket)
        return node.outputs[0] if node.outputs else node

    def finish(self, surface: Any) -> bpy.types.Material:
        self.node("OutputMaterial", surface)
        return self.material


def ground_material() -> bpy.types.Material:
    make = Shading("ground")
    return make.finish(make.node("BsdfDiffuse", Color=(0.8, 0.8, 0.8, 1), Roughness=0))


@functools.cache
def index_material() -> bpy.types.Material:
    """Nothing but light of the object's own display color."""
    make = Shading("index")
    return make.finish(make.node("Emission", make.node("ObjectInfo").node.outputs["Color"]))


@functools.cache
def rubber(color: tuple[float, ...]) -> bpy.types.Material:
    """Diffuse color with a sheen and a faint gray gloss, both growing toward the rim."""
    make = Shading("rubber")
    diffuse = make.node("BsdfDiffuse", Color=color, Roughness=0)
    sheen = make.node("BsdfSheen", Color=color, Roughness=0.6, distribution="ASHIKHMIN")
    gloss = make.node(
        "BsdfAnisotropic", Color=(0.8, 0.8, 0.8, 1), Roughness=math.sqrt(0.35), Anisotropy=0, distribution="BECKMANN"
    )
    body = make.node("MixShader", make.node("Fresnel", IOR=1.4), diffuse, sheen)
    return make.finish(make.node("MixShader", make.node("Fresnel", IOR=1.2), body, gloss))


@functools.cache
def metal(color: tuple[float, ...]) -> bpy.types.Material:
    """Two anisotropic reflections of the color, one blurred and one sharp."""
    make = Shading("metal")
    blurred, sharp = (
        make.node("BsdfAnisotropic", Color=color, Roughness=roughness, Anisotropy=0.25, distribution="GGX")
        for roughness in (math.sqrt(0.2), 0.1)
    )
    return make.finish(make.node("MixShader", None, blurred, sharp, Fac=0.6))


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    else:
        status = 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # Blender's own way out can hang
