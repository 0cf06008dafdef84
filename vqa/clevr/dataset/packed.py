"""Packed datasets: images as one memory-mapped array, with their questions and scenes beside it, in one file.

A pack is a safetensors file, so that any tool can look inside and nothing in it is executed:

    images           (N, H, W, 3) uint8   the images; absent in the packs that only cache a folder's JSON
    scenes           bytes                one JSON object a line, as in CLEVR's scene files
    scene_start      (S + 1,) int64       image i < S has the scene at scenes[scene_start[i]:scene_start[i + 1]]
    questions        bytes                one JSON object a line, as in CLEVR's question files, in the file's order
    question_start   (Q + 1,) int64       where each begins
    order            (Q,) int64           the questions sorted by image
    picture_start    (N + 1,) int64       image i asks order[picture_start[i]:picture_start[i + 1]]
    answer           (Q,) int32           number of the answer in tables["answers"], -1 without one
    family           (Q,) int32           number of the question family in tables["families"], -1 without one
    type             (Q,) int32           number of the type in `vocabulary.QUESTION_TYPES`, -1 without a program
    length           (Q,) int32           number of program steps, 0 without a program
    tokens           int32                the questions' words (`language.words_of`), numbered as in tables["words"]
    token_start      (Q + 1,) int64       where the tokens of each begin
    index            (N,) int64           image_index
    tables           bytes                JSON: filenames (N), answers, families, words

An image costs page cache, not memory.
"""

import json
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import orjson

from vqa.clevr.dataset.image_store import ArchivedImages, ImageFolder, find_images
from vqa.clevr.language.parser import words_of
from vqa.clevr.question import Question, normalize_answer
from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.errors import InputError
from vqa.utils.files import atomic_write

if TYPE_CHECKING:
    from PIL import Image


FORMAT = "vqa-clevr-pack-1"
_HEADER_SIZE = 4096
_DTYPES: dict[str, np.dtype] = {"U8": np.dtype(np.uint8), "I32": np.dtype("<i4"), "I64": np.dtype("<i8")}
_TENSORS = {
    **dict.fromkeys(("scenes", "questions", "tables"), "U8"),
    **dict.fromkeys(("scene_start", "question_start", "token_start", "picture_start", "order", "index"), "I64"),
    **dict.fromkeys(("answer", "family", "type", "length", "tokens"), "I32"),
}


class PackedDataset:
    """Images with their scenes and questions, read from a pack; row i is one image.

    Attributes: `images`, a memory-mapped uint8 array `(N, H, W, 3)` or None where the images lie in a folder, and
    `images_offset`, the byte of the file where it begins; `split`; `filenames` and `indices` (N) of the images;
    `image_start` (N + 1): question numbers `image_start[i]` to `image_start[i + 1]` belong to row i; and for
    each question number `answers`, `families`, `types` (indices into `answer_names`, `family_names`,
    `vocabulary.QUESTION_TYPES`, -1 for none), `lengths` (program steps) and `positions` (in their file); `words`, the
    vocabulary of `tokens`; `left_out`, how many questions of the file are about images that are not there; `notes`,
    what else was left out or read as something else. Small to pickle and cheap to share: workers map the same file.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        """Raises InputError for a file that is missing, not a pack, cut short or inconsistent."""
        self.path = Path(path)
        try:
            tensors, metadata, offsets = _read_tensors(self.path)
            tables = orjson.loads(tensors["tables"].tobytes())
            self.filenames: list[str] = tables["filenames"]
            self.family_names: list[str] = tables["families"]
            self.words: list[str] = tables["words"]
            _check(tensors, tables)
            self.answer_names: list[str] = [normalize_answer(name) or "" for name in tables["answers"]]
            self.notes: list[str] = [str(line) for line in json.loads(metadata.get("notes", "[]"))]
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            message = f"{path}: not a packed dataset, or damaged ({error}); make it with `vqa data pack`"
            raise InputError(message) from error
        self.images: np.ndarray | None = tensors.get("images")
        self.images_offset = offsets.get("images", 0)
        self.split: str = metadata.get("split", "")
        self.folder: Path | None = Path(metadata["folder"]) if "folder" in metadata else None
        self.left_out = int(metadata.get("left_out", 0))
        self.indices: np.ndarray = tensors["index"]
        self.image_start: np.ndarray = tensors["picture_start"]
        self.positions: np.ndarray = tensors["order"]
        self.answers, self.families, self.types, self.lengths = (
            np.asarray(tensors[name])[self.positions] for name in ("answer", "family", "type", "length")
        )
        self._tensors = tensors

    def __len__(self) -> int:
        return len(self.filenames)

    def __repr__(self) -> str:
        size = "images in their folder" if self.images is None else "x".join(map(str, self.images.shape[1:3]))
        return f"PackedDataset({self.split}: {len(self)} images, {len(self.answers)} questions, {size})"

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        return type(self), (self.path,)

    def image(self, row: int, size: tuple[int, int] | None = None) -> np.ndarray:
        """The image as uint8 `(H, W, 3)`, scaled to `size` (H, W) where it is given. Raises InputError (folders)."""
        if self.images is not None and size in (None, self.images.shape[1:3]):
            return self.images[row]
        from PIL import Image

        from vqa.utils.images import load_image, resize_image

        stored = self.images
        image = load_image(self.image_file(row)) if stored is None else Image.fromarray(stored[row])
        return resize_image(image, size or (image.height, image.width))

    def image_file(self, row: int) -> Path | IO[bytes]:
        """The image's file, open where it lies in an archive. Raises InputError if the pack holds the images itself."""
        if self._store is None:
            raise InputError(f"{self.path}: holds its images itself; there is no file for {self.filenames[row]}")
        return self._store.open(self.filenames[row])

    @cached_property
    def _store(self) -> ImageFolder | ArchivedImages | None:
        return None if self.folder is None else find_images(self.folder, self.split)

    def scene(self, row: int) -> Scene | None:
        """The image's scene, or None. Raises InputError for a damaged pack."""
        text = self.scene_json(row)
        return None if text is None else Scene.from_json(self._parse(text), f"{self.path.name}: scene of row {row}")

    def question(self, number: int) -> Question:
        """Question `number` of all, counted image by image."""
        text = self.question_json(number)
        return Question.from_json(self._parse(text), f"{self.path.name}: question {number}")

    def questions(self, row: int) -> list[Question]:
        """The image's questions, in the order of their file."""
        return [self.question(number) for number in self.question_numbers(row)]

    def tokens(self, number: int) -> np.ndarray:
        """The words of question `number`, in lower case and without punctuation, as int32 indices into `words`."""
        return self._entry("token", int(self.positions[number]))

    def question_numbers(self, row: int) -> range:
        """The numbers of the image's questions."""
        return range(int(self.image_start[row]), int(self.image_start[row + 1]))

    @property
    def question_rows(self) -> np.ndarray:
        """The row (Q,) of each question's image."""
        return np.repeat(np.arange(len(self)), np.diff(self.image_start))

    def scene_json(self, row: int) -> bytes | None:
        return self._entry("scene", row).tobytes() if row < len(self._tensors["scene_start"]) - 1 else None

    def question_json(self, number: int) -> bytes:
        return self._entry("question", int(self.positions[number])).tobytes()

    def _entry(self, kind: str, position: int) -> np.ndarray:
        start, end = self._tensors[f"{kind}_start"][position : position + 2]
        return self._tensors[f"{kind}s"][start:end]

    def _parse(self, text: bytes) -> Any:
        try:
            return orjson.loads(text)
        except ValueError as error:
            raise InputError(f"{self.path}: damaged ({error}); make it again with `vqa data pack`") from error


def write_pack(
    path: str | os.PathLike,
    scenes: Iterable[Scene],
    questions: Iterable[Question],
    split: str,
    *,
    load: Callable[[str], "Image.Image"] | None = None,
    size: tuple[int, int] | None = None,
    folder: Path | None = None,
    left_out: Callable[[], int] = lambda: 0,
    notes: Callable[[], Sequence[str]] = list,
    workers: int = 1,
) -> int:
    """Write a pack as a stream, in bounded memory; returns the number of images.

    Rows are the images of `scenes`, then those that only `questions` name; every question must carry its
    image_filename. `load` opens an image by file name, to be stored at `size` (H, W); without it the pack only knows
    the images' `folder`. `left_out` is asked at the end how many questions did not come, and `notes` what is to be said
    about the others.
    """
    columns = _Columns()
    with atomic_write(path) as file:
        writer = _TensorWriter(file)
        writer.add("scene_start", writer.add_lines("scenes", columns.scene_lines(scenes)))
        writer.add("question_start", writer.add_lines("questions", columns.question_lines(questions)))
        names = list(columns.rows)
        if not names:
            raise InputError(f"{path}: nothing to pack: neither scenes nor questions")
        columns.write(writer)
        if load and size:
            writer.add_images(names, load, size, workers)
        metadata = {"format": FORMAT, "split": split, "left_out": str(left_out())}
        metadata["notes"] = json.dumps(list(notes()))
        writer.finish(metadata | ({"folder": str(folder)} if folder else {}))
    return len(names)


class _Columns:
    """What a pack holds beside the JSON of scenes and questions, gathered while they pass by."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.indices = array("q")
        self.answers: dict[str, int] = {}
        self.families: dict[str, int] = {}
        self.words: dict[str, int] = {}
        self.owner, self.codes, self.tokens, self.token_start = array("i"), array("i"), array("i"), array("q", [0])

    def scene_lines(self, scenes: Iterable[Scene]) -> Iterator[bytes]:
        for i, scene in enumerate(scenes):
            if self._row_of(scene.image_filename, scene.image_index) != i:
                raise InputError(f"scenes[{i}].image_filename: {scene.image_filename} has a scene already")
            yield _line(scene.to_json())

    def question_lines(self, questions: Iterable[Question]) -> Iterator[bytes]:
        for question in questions:
            assert question.image_filename is not None
            self.owner.append(self._row_of(question.image_filename, question.image_index))
            answer, family = _number(self.answers, question.answer), _number(self.families, question.family)
            kind = QUESTION_TYPES.index(question.type) if question.type in QUESTION_TYPES else -1
            self.codes.extend((answer, family, kind, len(question.program or ())))
            self.tokens.extend(_number(self.words, word) for word in words_of(question.question))
            self.token_start.append(len(self.tokens))
            yield _line(question.to_json())

    def write(self, writer: "_TensorWriter") -> None:
        owners = np.frombuffer(self.owner, np.int32)
        writer.add("order", np.argsort(owners, kind="stable"))
        writer.add("picture_start", np.cumsum([0, *np.bincount(owners, minlength=len(self.rows))]))
        writer.add("token_start", np.frombuffer(self.token_start, np.int64))
        writer.add("index", np.frombuffer(self.indices, np.int64))
        codes = np.frombuffer(self.codes, np.int32).reshape(-1, 4).T
        for name, column in zip(("answer", "family", "type", "length"), codes, strict=True):
            writer.add(name, column)
        writer.add("tokens", np.frombuffer(self.tokens, np.int32))
        tables = {"filenames": self.rows, "answers": self.answers, "families": self.families, "words": self.words}
        writer.add_lines("tables", [_line({name: list(table) for name, table in tables.items()})])

    def _row_of(self, filename: str, index: int | None) -> int:
        row = self.rows.setdefault(filename, len(self.rows))
        if row == len(self.indices):
            self.indices.append(row if index is None else index)
        return row


class _TensorWriter:
    """Writes tensors one after another and their header at the end, so that their sizes need not be known before."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.header: dict[str, Any] = {}
        self.end = 0
        file.write(b" " * (8 + _HEADER_SIZE))

    def add(self, name: str, values: np.ndarray) -> None:
        """One whole tensor; int64 where it is not uint8 or int32."""
        if values.dtype not in (np.uint8, np.int32):
            values = values.astype(np.int64)
        self._record(name, values.dtype, values.shape, [np.ascontiguousarray(values).data])

    def add_lines(self, name: str, lines: Iterable[bytes]) -> np.ndarray:
        """Text as a tensor of bytes; returns where each line begins, and the end."""
        starts = array("q", [0])

        def counted() -> Iterator[bytes]:
            for line in lines:
                starts.append(starts[-1] + len(line))
                yield line

        self._record(name, np.dtype(np.uint8), None, counted())  # padded with spaces to keep what follows aligned
        return np.frombuffer(starts, np.int64)

    def add_images(
        self, names: Sequence[str], load: Callable[[str], "Image.Image"], size: tuple[int, int], workers: int
    ) -> None:
        """The tensor `images` (N, H, W, 3), a few images in memory at a time."""
        from tqdm import tqdm

        from vqa.utils.images import resize_image

        def images() -> Iterator[bytes]:
            with ThreadPoolExecutor(workers) as pool, tqdm(total=len(names), desc="packing", disable=None) as bar:
                for block in (names[i : i + 16 * workers] for i in range(0, len(names), 16 * workers)):
                    for image in pool.map(lambda name: resize_image(load(name), size), block):
                        yield image.tobytes()
                    bar.update(len(block))

        self._record("images", np.dtype(np.uint8), (len(names), *size, 3), images())

    def finish(self, metadata: dict[str, str]) -> None:
        """Put the header in its place at the start."""
        header = json.dumps({"__metadata__": metadata, **self.header}).encode()
        if len(header) > _HEADER_SIZE:
            raise InputError(f"the folder's path is too long for a pack: {metadata.get('folder')!r:.200}")
        self.file.seek(0)
        self.file.write(_HEADER_SIZE.to_bytes(8, "little") + header)

    def _record(self, name: str, dtype: np.dtype, shape: tuple[int, ...] | None, chunks: Iterable[Any]) -> None:
        start = self.end
        for chunk in chunks:
            self.end += self.file.write(chunk)
        if shape is None:
            self.end += self.file.write(b" " * (-self.end % 8))
            shape = (self.end - start,)
        kind = next(key for key, value in _DTYPES.items() if value == dtype)
        self.header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, self.end]}


def _read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str], dict[str, int]]:
    """The tensors of a safetensors file, memory-mapped, its metadata, and the byte where each tensor begins.

    Raises ValueError where it is not sound.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= 1 << 20:
            raise ValueError("no safetensors header")
        header = json.loads(file.read(length))
    metadata = header.pop("__metadata__", {})
    if metadata.get("format") != FORMAT:
        raise ValueError(f"its format is {metadata.get('format')!r:.40}, not {FORMAT}")
    data = np.memmap(path, np.uint8, "r").view(np.ndarray)[8 + length :]
    tensors, offsets = {}, {}
    for name, item in header.items():
        dtype, shape, (start, end) = _DTYPES[item["dtype"]], item["shape"], item["data_offsets"]
        if not 0 <= start <= end <= len(data):
            raise ValueError("cut short")
        tensors[name] = data[start:end].view(dtype).reshape(shape)
        offsets[name] = 8 + length + start
    return tensors, metadata, offsets


def _check(tensors: dict[str, np.ndarray], tables: dict[str, list[str]]) -> None:
    """Raises ValueError unless every index points into what it indexes."""
    for name, kind in _TENSORS.items():
        if tensors[name].ndim != 1 or tensors[name].dtype != _DTYPES[kind]:
            raise ValueError(f"{name} has a wrong type")
    rows, questions = len(tables["filenames"]), len(tensors["order"])
    sizes = dict.fromkeys(("answer", "family", "type", "length"), questions) | {
        "index": rows,
        "picture_start": rows + 1,
    }
    sizes |= dict.fromkeys(("question_start", "token_start"), questions + 1)
    scenes = len(tensors["scene_start"])
    if any(len(tensors[name]) != size for name, size in sizes.items()) or not 1 <= scenes <= rows + 1:
        raise ValueError("lengths differ")
    for kind, end in (("scene", "scenes"), ("question", "questions"), ("token", "tokens"), ("picture", "order")):
        starts = tensors[f"{kind}_start"]
        if starts[0] != 0 or starts[-1] > len(tensors[end]) or (np.diff(starts) < 0).any():
            raise ValueError(f"{kind}_start is out of order")
    for name, lowest, limit in (
        ("order", 0, questions),
        ("tokens", 0, len(tables["words"])),
        ("answer", -1, len(tables["answers"])),
        ("family", -1, len(tables["families"])),
        ("type", -1, len(QUESTION_TYPES)),
    ):
        if len(tensors[name]) and not lowest <= tensors[name].min() <= tensors[name].max() < limit:
            raise ValueError(f"{name} is out of range")
    if not all(isinstance(name, str) for names in tables.values() for name in names):
        raise ValueError("tables hold something else than names")
    images = tensors.get("images")
    if images is not None and (images.shape[0] != rows or images.ndim != 4 or images.shape[3] != 3):
        raise ValueError("images has a wrong shape")


def _line(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record) + b"\n"


def _number(table: dict[str, int], name: str | None) -> int:
    return -1 if name is None else table.setdefault(name, len(table))
