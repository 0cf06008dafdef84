"""What people hand to the answerer and to the pipeline: one image or many, one question or many, or pairs of both."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from vqa.errors import InputError


@dataclass(frozen=True)
class Asked:
    """Pairs of an image and a question, and what is expected back: one answer, a list, or answers as they come."""

    pairs: Iterator[tuple[Any, Any]]
    form: Literal["one", "list", "stream"]


def asked(images: Any, questions: Any = None) -> Asked:
    """The pairs that an image or several and a question or several make.

    Args:
        images: one image or many; without `questions`, pairs (image, question) or mappings with "image" and
            "question", such as the rows of a `datasets.Dataset`, or one of these.
        questions: one, asked about every image; or many, about the one image, or each about its own.

    A list, a dataset or a batch of arrays gives a list; a generator, from which nothing is taken ahead, a stream.
    Raises InputError where there are not as many questions as images.
    """
    if questions is None:
        if isinstance(images, dict):
            return asked(images.get("image"), images.get("question", ""))
        if isinstance(images, tuple) and len(images) == 2 and isinstance(images[1], str):
            return asked(*images)
        if not _are_many(images):
            raise InputError("question: none is given; ask(image, question), or pass pairs of both")
        return Asked(map(_pair, iter(images)), _form(images))
    if not _are_many(questions):
        if not _are_many(images):
            return Asked(iter([(images, questions)]), "one")
        return Asked(((image, questions) for image in images), _form(images))
    if not _are_many(images):
        return Asked(((images, question) for question in questions), _form(questions))
    form: Literal["list", "stream"] = "stream" if "stream" in (_form(images), _form(questions)) else "list"
    if form == "list" and len(images) != len(questions):
        raise InputError(f"{len(questions)} questions about {len(images)} images; give as many, or one of either")
    return Asked(iter(zip(images, questions, strict=True)), form)


def _are_many(value: Any) -> bool:
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.ndim == 4
    alone = isinstance(value, str | bytes | os.PathLike | Image.Image | dict) or hasattr(value, "read")
    return isinstance(value, Iterable) and not alone


def _form(values: Any) -> Literal["list", "stream"]:
    return "list" if hasattr(values, "__len__") else "stream"


def _pair(item: Any) -> tuple[Any, Any]:
    if isinstance(item, dict) and {"image", "question"} <= item.keys():
        return item["image"], item["question"]
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    raise InputError(f"expected pairs of image and question, or mappings with both, got {type(item).__name__}")
