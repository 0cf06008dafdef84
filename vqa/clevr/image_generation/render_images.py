"""CLEVR-like datasets: sampled or given scenes, rendered images and masks, and questions, in CLEVR's layout."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vqa.clevr.annotations import (
    check_split,
    image_path,
    questions_path,
    read_info,
    read_scenes,
    scenes_path,
    write_scenes,
)
from vqa.clevr.image_generation.blender import FORMATS, RenderSettings, render_layouts, save_image
from vqa.clevr.image_generation.cluster import render_on_cluster
from vqa.clevr.image_generation.sample_scenes import CONDITIONS, OBJECT_RANGE, Layout, sample_layout
from vqa.clevr.masks import mask_path
from vqa.clevr.question_generation.generate_questions import make_question_file
from vqa.clevr.question_generation.templates import Template
from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import MAX_OBJECTS
from vqa.errors import InputError
from vqa.utils.files import write_json
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

    def layout(self, index: int, mask: bool = False) -> Layout:
        """Image `index` or its mask, always the same (see `sample_layout`)."""
        more: dict[str, Any] = {"objects": self.objects, "half_hidden": self.half_hidden}
        layout = sample_layout(self.seed, self.split, index, self.condition, self.filename(index), **more)
        return replace(layout, mask=mask)

    def task(self, index: int, mask: bool) -> Callable[[], Layout]:
        """What makes a layout, wherever it is called."""
        return partial(self.layout, index, mask)

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


@dataclass(frozen=True, slots=True)
class SceneFile:
    """Scenes of a file instead of sampled ones; camera as their `pixel_coords` tell, lamps without jitter."""

    split: str
    given: tuple[Scene, ...]
    digest: str

    @classmethod
    def read(cls, path: str | os.PathLike) -> "SceneFile":
        """A CLEVR scene file. Raises InputError as `read_scenes` does, or for an image neither PNG nor JPEG."""
        scenes = tuple(read_scenes(path).values())
        for scene in scenes:
            if Path(scene.image_filename).suffix not in (".png", ".jpg", ".jpeg"):
                raise InputError(f"{path}: image_filename {scene.image_filename!r:.80}: must end in .png or .jpg")
        split = read_info(path).get("split") or scenes[0].split
        return cls(check_split(str(split)), scenes, hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16])

    def filename(self, index: int) -> str:
        """The name of the image of scene `index`."""
        return self.given[index].image_filename

    def task(self, index: int, mask: bool) -> Callable[[], Layout]:
        """What makes the layout of scene `index`."""
        return partial(Layout.of_scene, self.given[index], mask)

    def scenes(self, num: int) -> Iterator[Scene]:
        """The first `num` scenes."""
        return iter(self.given[:num])

    def info(self, settings: RenderSettings | None = None) -> dict[str, Any]:
        """What a scene file says of itself."""
        return {"split": self.split, "version": "1.0", "scenes": self.digest, **(asdict(settings) if settings else {})}


def parse_object_range(text: str) -> tuple[int, int]:
    """ "8-10" as (8, 10). Raises InputError for anything else."""
    if not (match := re.fullmatch(r"(\d{1,3})-(\d{1,3})", text)):
        raise InputError(f"--objects {text!r:.40}: expected LOW-HIGH, such as 8-10")
    return int(match[1]), int(match[2])


def write_sampled_scenes(path: str | os.PathLike, source: SceneSource, num: int) -> int:
    """Write the first `num` scenes of a source as a CLEVR scene file, without images; returns how many."""
    check_num(num)
    return write_scenes(path, source.scenes(num), source.info())


def render_dataset(
    out: str | os.PathLike,
    num: int,
    source: SceneSource | SceneFile,
    settings: RenderSettings,
    *,
    workers: int = 2,
    blender: str | Path | None = None,
    shard: tuple[int, int] = (1, 1),
    masks: bool = False,
    images: bool = True,
    cluster: str | None = None,
    shared: bool = False,
) -> int:
    """Render images 0 to num - 1 into a CLEVR folder and write their scene file; returns how many were rendered now.

    What a run that was killed, or a smaller one, left is kept. An image is whole or absent; the scene file comes last.
    Raises InputError where `out` holds other images of that split, the disk is full, or Blender is missing or fails.

    Args:
        shard: (k, n) renders every n-th image from the k-th, counted from 1, and leaves the scene file to the run that
            finds all images there.
        masks: whether to render instance masks (see `vqa.clevr.masks`).
        images: False renders masks alone, also into a folder that something else made, if it holds the same scenes.
        cluster, shared: see `render_on_cluster`; `out` may be a folder that its workers see.
    """
    check_num(num)
    size, (part, parts) = (settings.width, settings.height), shard
    if not 1 <= part <= parts:
        raise InputError(f"--shard {part}/{parts}: expected K/N with K from 1 to N")
    if not masks and not images:
        raise InputError("--no-images: without --masks nothing is left to render")
    scenes = scenes_path(out, source.split)
    if not images and scenes.exists() and not _is_ours(read_info(scenes)):
        journal = None
        _check_same_scenes(out, source, num, size)
    else:
        journal = _claim(out, source, num, source.info(settings))
    pictures = [(index, mask) for index in range(num) for mask in [False] * images + [True] * masks]
    paths = {picture: _path(out, source, source.filename(picture[0]), picture[1]) for picture in pictures}
    missing = [picture for picture in pictures if not _is_whole(paths[picture], size)]
    todo = [(paths[index, mask], source.task(index, mask)) for index, mask in missing if index % parts == part - 1]
    with tqdm(total=len(pictures), initial=len(pictures) - len(missing), desc=source.split, unit=" images") as bar:
        if todo and cluster:
            for done in render_on_cluster(cluster, todo, settings, blender, shared):
                bar.update(done)
        elif todo:
            layouts = (make() for _, make in todo)
            for layout, image in render_layouts(layouts, settings, min(workers, len(todo)), blender):
                save_image(image, _path(out, source, layout.scene.image_filename, layout.mask))
                bar.update()
    if len(todo) == len(missing):
        for leftover in Path(out).glob(f"*/{source.split}/.*.tmp"):  # of runs that were killed
            leftover.unlink(missing_ok=True)
        if journal:
            write_scenes(scenes, source.scenes(num), source.info(settings))
            journal.unlink(missing_ok=True)
    return len(todo)


def make_dataset(
    out: str | os.PathLike,
    num: int,
    source: SceneSource,
    settings: RenderSettings,
    *,
    templates: Sequence[Template],
    per_image: int = 10,
    **more: Any,
) -> int:
    """A complete CLEVR-like dataset; returns how many questions. `more`: as for `render_dataset`."""
    if per_image < 1:
        raise InputError(f"--per-image {per_image}: must be at least 1")
    render_dataset(out, num, source, settings, **more)
    scenes = scenes_path(out, source.split)
    with tqdm(total=num, desc="questions", unit=" images", disable=None) as bar:
        return make_question_file(
            scenes, questions_path(out, source.split), templates, per_image, source.seed, on_scene=bar.update
        )


def check_num(num: int) -> None:
    """Raises InputError for a number of images out of range."""
    if not 1 <= num <= 10**7:
        raise InputError(f"--num {num}: expected a number from 1 to 10 million")


def _path(out: str | os.PathLike, source: SceneSource | SceneFile, filename: str, mask: bool) -> Path:
    return (mask_path if mask else image_path)(out, source.split, filename)


def _is_ours(info: dict[str, Any]) -> bool:
    return not info.keys().isdisjoint(("seed", "scenes"))


def _check_same_scenes(
    out: str | os.PathLike, source: SceneSource | SceneFile, num: int, size: tuple[int, int]
) -> None:
    path, first = scenes_path(out, source.split), image_path(out, source.split, source.filename(0))
    there = read_scenes(path)
    for scene in source.scenes(num):
        if scene.image_filename not in there or there[scene.image_filename].objects != scene.objects:
            raise InputError(f"{path}: has another scene of {scene.image_filename}; give its own, or another --out")
    if first.exists() and (found := load_image(first).size) != size:
        raise InputError(f"{first}: is {found[0]}x{found[1]}; give --width {found[0]} --height {found[1]} for its mask")


def _claim(out: str | os.PathLike, source: SceneSource | SceneFile, num: int, info: dict[str, Any]) -> Path:
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
    if not isinstance(before, dict) or not _is_ours(before):
        raise InputError(f"{scenes}: was not made by `vqa data render`, and is left as it is; {elsewhere}")
    for name in sorted((info.keys() - {"pixel_coords"}) | {"objects", "half_hidden"}):  # which is only a remark
        was, value = (options.get(name, "as by default") for options in (before, info))
        if was != value:
            made = f"is being made, or was, with {name} {was}, not {value}"
            raise InputError(f"{folder}: {made}; give the same options to resume, or {elsewhere}")
    wanted = {source.filename(index) for index in range(num)}
    beyond = [path.name for path in standing if path.name not in wanted]
    if beyond:
        raise InputError(f"{folder}: holds {max(beyond)}, beyond --num {num}; ask for more images or {elsewhere}")
    write_json(journal, info)
    return journal


def _is_whole(path: Path, size: tuple[int, int]) -> bool:
    try:
        return load_image(path).size == size
    except InputError:
        return False
