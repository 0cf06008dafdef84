"""CLEVR-like datasets from nothing: sampled scenes, rendered images, and questions about them, in CLEVR's layout."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vqa.clevr.annotations import check_split, image_path, questions_path, read_info, scenes_path, write_scenes
from vqa.clevr.image_generation.blender import FORMATS, RenderSettings, render_layouts, save_image
from vqa.clevr.image_generation.sample_scenes import CONDITIONS, OBJECT_RANGE, Layout, sample_layout
from vqa.clevr.question_generation.generate_questions import make_question_file
from vqa.clevr.question_generation.templates import Template
from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import MAX_OBJECTS
from vqa.errors import InputError
from vqa.utils.files import atomic_write
from vqa.utils.images import load_image

_PIXEL_COORDS = "x and y count in a 480x320 frame whatever the image's size; the third is depth in Blender units"


@dataclass(frozen=True, slots=True)
class SceneSource:
    """What decides the sampled scenes, and their images' format; see `sample_layout`."""

    seed: int = 0
    split: str = "train"
    condition: str = "none"
    image_format: str = "png"
    objects: tuple[int, int] = OBJECT_RANGE
    half_hidden: bool = False

    def __post_init__(self) -> None:
        check_split(self.split)
        if self.condition not in CONDITIONS:
            raise InputError(f"--condition {self.condition!r:.40}: expected one of {', '.join(CONDITIONS)}")
        if self.image_format not in FORMATS:
            raise InputError(f"--format {self.image_format!r:.40}: expected one of {', '.join(FORMATS)}")
        low, high = self.objects
        if not 1 <= low <= high <= MAX_OBJECTS:
            raise InputError(f"--objects {low}-{high}: expected LOW-HIGH from 1 to {MAX_OBJECTS}, such as 8-10")
        if self.half_hidden and low < 2:
            raise InputError(f"--half-hidden --objects {low}-{high}: a single object is never hidden; begin with 2")

    def filename(self, index: int) -> str:
        """The name of image `index`, as CLEVR names it."""
        return f"CLEVR_{self.split}_{index:06d}.{self.image_format}"

    def layout(self, index: int) -> Layout:
        """Image `index`, always the same (see `sample_layout`)."""
        return sample_layout(
            self.seed,
            self.split,
            index,
            self.condition,
            self.filename(index),
            objects=self.objects,
            half_hidden=self.half_hidden,
        )

    def scenes(self, num: int) -> Iterator[Scene]:
        """The scenes of images 0 to num - 1, with a progress bar."""
        for index in tqdm(range(num), desc="scenes", unit=" scenes", disable=None):
            yield self.layout(index).scene

    def info(self, settings: RenderSettings | None = None) -> dict[str, Any]:
        """What a scene file says of itself: enough to make it again."""
        return {
            "split": self.split,
            "version": "1.0",
            "seed": self.seed,
            "condition": self.condition,
            "pixel_coords": _PIXEL_COORDS,
            **({"format": self.image_format, **asdict(settings)} if settings else {}),
            # written only where they differ, so that the scene files of earlier versions can still be added to
            **({"objects": "{}-{}".format(*self.objects)} if self.objects != OBJECT_RANGE else {}),
            **({"half_hidden": True} if self.half_hidden else {}),
        }


def parse_object_range(text: str) -> tuple[int, int]:
    """ "8-10" as (8, 10). Raises InputError for anything else."""
    match = re.fullmatch(r"(\d{1,3})-(\d{1,3})", text)
    if match is None:
        raise InputError(f"--objects {text!r:.40}: expected LOW-HIGH, such as 8-10")
    return int(match[1]), int(match[2])


def write_sampled_scenes(path: str | os.PathLike, source: SceneSource, num: int) -> int:
    """Write the first `num` scenes of a source as a CLEVR scene file, without images; returns how many."""
    _check_num(num)
    return write_scenes(path, source.scenes(num), source.info())


def render_dataset(
    out: str | os.PathLike,
    num: int,
    source: SceneSource,
    settings: RenderSettings,
    *,
    workers: int = 2,
    blender: str | Path | None = None,
    shard: tuple[int, int] = (1, 1),
) -> int:
    """Render images 0 to num - 1 into a CLEVR folder and write their scene file; returns how many were rendered now.

    What a run that was killed, or a smaller one, left is kept. An image is whole or absent; the scene file comes last.
    `shard` (k, n) renders every n-th image from the k-th, counted from 1, and leaves the scene file to the run that
    finds all images there. Raises InputError where `out` holds other images of that split, the disk is full, or
    Blender is missing or fails.
    """
    _check_num(num)
    part, parts = shard
    if not 1 <= part <= parts:
        raise InputError(f"--shard {part}/{parts}: expected K/N with K from 1 to N")
    folder = image_path(out, source.split, source.filename(0)).parent
    info = source.info(settings)
    journal = _claim(out, source, num, info)
    for leftover in folder.glob(f".CLEVR_{source.split}_*.tmp"):
        leftover.unlink(missing_ok=True)
    size = (settings.width, settings.height)
    missing = [index for index in range(num) if not _is_whole(folder / source.filename(index), size)]
    todo = [index for index in missing if index % parts == part - 1]
    with tqdm(total=num, initial=num - len(missing), desc=source.split, unit=" images", smoothing=0.1) as bar:
        if todo:
            layouts = (source.layout(index) for index in todo)
            for layout, image in render_layouts(layouts, settings, min(workers, len(todo)), blender):
                save_image(image, folder / layout.scene.image_filename)
                bar.update()
    if len(todo) == len(missing):
        write_scenes(scenes_path(out, source.split), source.scenes(num), info)
        journal.unlink(missing_ok=True)
    return len(todo)


def make_dataset(
    out: str | os.PathLike,
    num: int,
    source: SceneSource,
    settings: RenderSettings,
    templates: Sequence[Template],
    *,
    per_image: int = 10,
    workers: int = 2,
    blender: str | Path | None = None,
) -> int:
    """A complete CLEVR-like dataset: images, scenes (see `render_dataset`) and questions; returns the questions."""
    if per_image < 1:
        raise InputError(f"--per-image {per_image}: must be at least 1")
    render_dataset(out, num, source, settings, workers=workers, blender=blender)
    scenes = scenes_path(out, source.split)
    with tqdm(total=num, desc="questions", unit=" images", disable=None) as bar:
        return make_question_file(
            scenes, questions_path(out, source.split), templates, per_image, source.seed, on_scene=bar.update
        )


def _check_num(num: int) -> None:
    if not 1 <= num <= 10**7:
        raise InputError(f"--num {num}: expected a number from 1 to 10 million")


def _claim(out: str | os.PathLike, source: SceneSource, num: int, info: dict[str, Any]) -> Path:
    """Mark the split as being made so, and return the mark. Raises InputError where it holds something else."""
    scenes = scenes_path(out, source.split)
    journal = scenes.with_name(f".{scenes.stem}.making.json")
    folder = image_path(out, source.split, source.filename(0)).parent
    standing = [path for path in folder.glob("*") if not path.name.startswith(".")] if folder.is_dir() else []
    elsewhere = "choose another --out or --split"
    if not standing and not scenes.exists():
        before = info
    elif journal.exists():
        try:
            before = json.loads(journal.read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{journal}: cannot be read ({error}); {elsewhere}") from error
    elif scenes.exists():
        before = read_info(scenes)
    else:
        raise InputError(f"{folder}: holds images that `vqa data render` did not make; {elsewhere}")
    if not isinstance(before, dict) or "seed" not in before:
        raise InputError(f"{scenes}: was not made by `vqa data render`, and is left as it is; {elsewhere}")
    for name in sorted((info.keys() - {"pixel_coords"}) | {"objects", "half_hidden"}):  # the remark decides nothing
        was, value = (options.get(name, "as by default") for options in (before, info))
        if was != value:
            raise InputError(
                f"{folder}: is being made, or was, with {name} {was}, not {value}; "
                f"give the same options to resume, or {elsewhere}"
            )
    wanted = {source.filename(index) for index in range(num)}
    beyond = [path.name for path in standing if path.name not in wanted]
    if beyond:
        raise InputError(f"{folder}: holds {max(beyond)}, beyond --num {num}; ask for more images or {elsewhere}")
    with atomic_write(journal) as file:
        file.write(json.dumps(info).encode())
    return journal


def _is_whole(path: Path, size: tuple[int, int]) -> bool:
    if not path.exists():
        return False
    try:
        return load_image(path).size == size
    except InputError:
        return False
