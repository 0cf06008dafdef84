"""From images and questions to the model's tensors, and back from tokens to words.

Training, evaluation and the page all read images through `FilmSEImageProcessor` and words through
`vqa.clevr.language.paraphrase.read_words`, so that there is one notion of a pixel and one of a word.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import BatchFeature, PreTrainedTokenizerBase, PreTrainedTokenizerFast, ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor

from vqa.clevr.language.asked_answers import asked_answers
from vqa.clevr.language.paraphrase import parses, read_words, restate
from vqa.clevr.language.parser import MAX_WORDS, WORDS, words_of
from vqa.clevr.vocabulary import ANSWERS
from vqa.errors import InputError
from vqa.utils.images import MAX_PIXELS, content_box, load_image, resize_image, to_rgb

PAD, UNKNOWN = "[PAD]", "[UNK]"
_CLEVR_VOCABULARY = {PAD, UNKNOWN, *WORDS}

MAX_CHARACTERS = 1000
"""Longer questions are not asked; CLEVR's have up to about 200 characters."""

CLEVR_MEAN, CLEVR_STD = (0.45,) * 3, (0.15,) * 3
"""Of rescaled pixels: about CLEVR's, the same for all channels, so that gray stays gray."""

ImageLike = Image.Image | np.ndarray | torch.Tensor | str | os.PathLike | bytes | IO[bytes]
"""PIL image; array (H, W), (H, W, 1), (H, W, 3), (H, W, 4) or (3, H, W) of bytes or of floats in 0..1; path; a file's
bytes; an open file."""


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image as the model sees it.

    Args:
        image: upright and in RGB, of its own size.
        pixels: uint8 (H, W, 3), of the model's size.
        box: left, top, right, bottom of the image as fractions of the model's input: below 0 or above 1 where a plain
            border was cut off.
    """

    image: Image.Image
    pixels: np.ndarray
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class ReadQuestion:
    """A question as the model reads it.

    Args:
        text: as it was asked.
        words: what each token stands for: the question's words, in CLEVR's where its own are free or misspelt, or the
            pieces of a Hugging Face tokenizer.
        token_ids: (L,), at least one, cut at the tokenizer's `model_max_length`.
        unknown_words: the words that the model does not know, each once, in their order.
        restated: the question in the words that the model reads; None where these are its own.
        is_clevr: whether it is, so restated, one of CLEVR's forms of questions.
    """

    text: str
    words: list[str]
    token_ids: list[int]
    unknown_words: list[str]
    restated: str | None
    is_clevr: bool


class FilmSEImageProcessor(BaseImageProcessor):
    """Images of any kind and size -> `pixel_values` (N, 3, H, W), rescaled and normalised.

    Args:
        size: {"height": H, "width": W} in pixels.
        do_pad: keep an image's aspect ratio and fill up with a neutral border; otherwise squash it to fit, as the
            FiLM paper does. CLEVR's 3:2 images need no border in a 3:2 model.
        do_trim: cut plain borders off first (`vqa.utils.images.content_box`); CLEVR's images have none.
        rescale_factor: what bytes are multiplied with.
        image_mean, image_std: of the rescaled channels.
    """

    model_input_names = ["pixel_values"]  # noqa: RUF012 (the library's own type)

    def __init__(
        self,
        size: Mapping[str, int] | None = None,
        do_pad: bool = True,
        do_trim: bool = True,
        rescale_factor: float = 1 / 255,
        image_mean: Sequence[float] = CLEVR_MEAN,
        image_std: Sequence[float] = CLEVR_STD,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        size = size or {"height": 128, "width": 192}
        if not isinstance(size, Mapping) or set(size) != {"height", "width"} or not _within(size.values(), 16, 2048):
            raise InputError(f"image_processor.size: {size!r:.80} must be a height and a width from 16 to 2048")
        for name, value in (("image_mean", image_mean), ("image_std", image_std)):
            if not isinstance(value, Sequence) or len(value) != 3 or not _within(value, -1e3, 1e3):
                raise InputError(f"image_processor.{name}: {value!r:.80} must be three numbers")
        if not _within([rescale_factor, *image_std], 1e-6, 1e3):
            raise InputError("image_processor: rescale_factor and image_std must be above 0")
        self.size = {name: int(length) for name, length in size.items()}
        self.do_pad, self.do_trim = bool(do_pad), bool(do_trim)
        self.rescale_factor = rescale_factor
        self.image_mean, self.image_std = list(image_mean), list(image_std)

    def prepare(self, image: ImageLike) -> PreparedImage:
        """One image, decoded and trimmed once. Raises InputError for what is not a sound image."""
        image = to_image(image)
        inner = content_box(image) if self.do_trim else (0, 0, *image.size)
        trimmed = image if inner == (0, 0, *image.size) else image.crop(inner)
        height, width = self.size["height"], self.size["width"]
        placed = self.placement(trimmed.width, trimmed.height)
        left, top, right, bottom = placed
        pixels = resize_image(trimmed, (bottom - top, right - left))
        if pixels.shape[:2] != (height, width):
            canvas = np.empty((height, width, 3), np.uint8)
            canvas[:] = np.clip(np.round(np.array(self.image_mean) / self.rescale_factor), 0, 255)
            canvas[top:bottom, left:right] = pixels
            pixels = canvas
        left_edge, right_edge = _edges(placed[::2], inner[::2], image.width, width)
        top_edge, bottom_edge = _edges(placed[1::2], inner[1::2], image.height, height)
        return PreparedImage(image, pixels, (left_edge, top_edge, right_edge, bottom_edge))

    def to_array(self, image: ImageLike) -> np.ndarray:
        """One image as uint8 (H, W, 3) of the model's size. Raises InputError for what is not a sound image."""
        return self.prepare(image).pixels

    def placement(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Where an image of this size, without plain borders, lies in the input: left, top, right, bottom in pixels."""
        full_width, full_height = self.size["width"], self.size["height"]
        if not self.do_pad:
            return 0, 0, full_width, full_height
        scale = min(full_width / width, full_height / height)
        inner_width = min(full_width, max(1, round(width * scale)))
        inner_height = min(full_height, max(1, round(height * scale)))
        left, top = (full_width - inner_width) // 2, (full_height - inner_height) // 2
        return left, top, left + inner_width, top + inner_height

    def normalize_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (N, H, W, 3), on any device -> float32 (N, 3, H, W), rescaled and normalised."""
        mean = torch.tensor(self.image_mean, device=pixels.device)[:, None, None]
        std = torch.tensor(self.image_std, device=pixels.device)[:, None, None]
        return (pixels.permute(0, 3, 1, 2).float() * self.rescale_factor - mean) / std

    def preprocess(self, images: Any, return_tensors: str | None = None, **kwargs: Any) -> BatchFeature:
        """An image or several -> `pixel_values`. Raises InputError for what is not a sound image."""
        arrays = np.stack([self.to_array(image) for image in _as_list(images)])
        values = self.normalize_pixels(torch.from_numpy(arrays))
        return BatchFeature({"pixel_values": values.numpy()}, tensor_type=return_tensors)


class FilmSEProcessor(ProcessorMixin):
    """Images and questions -> what `FilmSEForVisualQuestionAnswering` reads.

    `processor(images=..., text=[...], return_tensors="pt")` gives `pixel_values` (N, 3, H, W), `input_ids` and
    `attention_mask` (B, L), padded on the right.

    Args:
        image_processor: a `FilmSEImageProcessor`.
        tokenizer: `word_tokenizer()`, or that of a Hugging Face text encoder.
        clevr_words: questions are read as CLEVR's words (see `vqa.clevr.language`) before the tokenizer.
    """

    def __init__(
        self, image_processor: FilmSEImageProcessor, tokenizer: PreTrainedTokenizerBase, clevr_words: bool = True
    ) -> None:
        if tokenizer.pad_token is None:
            if tokenizer.eos_token is None:
                raise InputError("tokenizer: it has no padding token; set pad_token and save it again")
            tokenizer.pad_token = tokenizer.eos_token
        if not isinstance(tokenizer.model_max_length, int) or tokenizer.model_max_length < 1:
            raise InputError(f"tokenizer.model_max_length: {tokenizer.model_max_length!r:.40} must be 1 or more")
        tokenizer.padding_side = tokenizer.truncation_side = "right"
        tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
        super().__init__(image_processor, tokenizer)
        self.clevr_words = clevr_words
        self._vocabulary: dict[str, int] = tokenizer.get_vocab() if clevr_words else {}

    def __call__(  # type: ignore[override]
        self,
        images: Any = None,
        text: str | Sequence[str] | None = None,
        *,
        padding: bool | str = True,
        max_length: int | None = None,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """Images, questions or both as tensors; see the class. Raises InputError for broken images."""
        data: dict[str, Any] = {}
        if images is not None:
            data |= self.image_processor(images, return_tensors=return_tensors)
        if text is not None:
            tokens = self.encode_questions([text] if isinstance(text, str) else text)
            data |= self.tokenizer.pad(
                {"input_ids": tokens},
                padding=padding,
                max_length=max_length,
                return_attention_mask=True,
                return_tensors=return_tensors,
            )
        if not data:
            raise ValueError("give images, text or both")
        return BatchFeature(data)

    def encode_questions(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each question, at least one, cut at `tokenizer.model_max_length`, without padding."""
        limit = self.tokenizer.model_max_length
        if not self.clevr_words:
            return self.tokenizer(list(texts), truncation=True, max_length=limit)["input_ids"]
        return [self._ids(read_words(text, self._vocabulary)[:limit]) for text in texts]

    def encode_clevr(self, texts: Sequence[str]) -> list[list[int]]:
        """As `encode_questions`, of questions in CLEVR's language, whose known words need no other reading."""
        known, limit, found = self._vocabulary, self.tokenizer.model_max_length, []
        plain: dict[str, int | None] = {}
        for text in texts:
            for said in text.split():
                if said not in plain:
                    plain[said] = known.get(said.lower().rstrip("?!.,;:"))
            ids = [word for said in text.split() if (word := plain[said]) is not None]
            read = ids and len(ids) == len(text.split())
            found.append(ids[:limit] if read else self.encode_questions([text])[0])
        return found

    def pad_tokens(self, tokens: Sequence[list[int]], device: torch.device | str = "cpu") -> dict[str, torch.Tensor]:
        """Token ids of B questions -> `input_ids` and `attention_mask`, (B, L), padded on the right."""
        padded = self.tokenizer.pad({"input_ids": tokens}, return_attention_mask=True, return_tensors="pt")
        return {name: padded[name].to(device) for name in ("input_ids", "attention_mask")}

    def read_question(self, text: str) -> ReadQuestion:
        """A question of any length and language, read once: its tokens, what is unknown in it, what it is taken for."""
        if not self.clevr_words:
            ids = self.encode_questions([text])[0]
            said, known = list(dict.fromkeys(words_of(text))), self.tokenizer.unk_token_id
            pieces = self.tokenizer(said, add_special_tokens=False)["input_ids"] if said else []
            unknown = [word for word, parts in zip(said, pieces, strict=True) if known in parts]
            return ReadQuestion(
                text, self.tokenizer.convert_ids_to_tokens(ids), ids, unknown, None, parses(restate(text))
            )
        restated = restate(text, self._vocabulary)
        words = [word for word in restated.split() if word[0].isalnum()]
        cut = words[: self.tokenizer.model_max_length]
        return ReadQuestion(
            text,
            cut or [UNKNOWN],
            self._ids(cut),
            [word for word in dict.fromkeys(words) if word not in self._vocabulary],
            " ".join(words) if words != words_of(text) else None,
            parses(restated if self._vocabulary.keys() == _CLEVR_VOCABULARY else restate(text)),
        )

    def _ids(self, words: Sequence[str]) -> list[int]:
        get, unknown = self._vocabulary.get, self.tokenizer.unk_token_id
        return [get(word, unknown) for word in words] or [unknown]

    def check_question(self, text: str) -> ReadQuestion:
        """A question to be asked. Raises InputError where it is not text, too long, or without any known word."""
        if not isinstance(text, str):
            raise InputError(f"question: expected text, got {type(text).__name__}")
        if len(text) > MAX_CHARACTERS:
            raise InputError(f"question: {len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
        said = words_of(text)
        if not said:
            raise InputError("question: it has no words; ask for example: What color is the cube?")
        if len(said) > MAX_WORDS:
            raise InputError(f"question: {len(said)} words; at most {MAX_WORDS} are read")
        question = self.read_question(text)
        unknown = question.unknown_words
        if len(unknown) == len(set(said if question.restated is None else question.restated.split())):
            shown = ", ".join(repr(word[:30]) for word in unknown[:8]) + ", ..." * (len(unknown) > 8)
            raise InputError(
                f"question: none of its words is known: {shown}; ask in CLEVR's English, for example: "
                "How many red cubes are there?"
            )
        return question


def word_tokenizer(words: Sequence[str] = WORDS) -> PreTrainedTokenizerFast:
    """A tokenizer with a number for each word: 0 pads, 1 is any unknown word, then `words` in their order.

    Used alone it lowers case and drops punctuation; `FilmSEProcessor` gives it the words of `words_of`.
    """
    vocabulary = {word: i for i, word in enumerate((PAD, UNKNOWN, *words))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s?!.,;:]+"), "removed")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        model_max_length=MAX_WORDS,
        model_input_names=["input_ids", "attention_mask"],
    )


def to_image(image: ImageLike) -> Image.Image:
    """An image of any kind as upright RGB. Raises InputError for what is not an image, damaged or too large."""
    if isinstance(image, str | os.PathLike | bytes) or hasattr(image, "read"):
        return load_image(image)  # type: ignore[arg-type]
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu().numpy()
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    if not isinstance(image, Image.Image):
        raise InputError(
            f"image: {type(image).__name__} is not an image; give a path, an open file, a PIL image or an array"
        )
    if image.width * image.height > MAX_PIXELS or not image.width * image.height:
        raise InputError(f"image: {image.width} x {image.height} pixels; expected 1 to {MAX_PIXELS:,}")
    try:
        return to_rgb(image)
    except Exception as error:  # a lazily opened file decodes here, and Pillow raises nearly anything
        raise InputError(f"image: the image is damaged or cut short: {error}") from error


def encode_pixels(model: Any, processor: FilmSEProcessor, pixels: np.ndarray | torch.Tensor) -> torch.Tensor:
    """uint8 (N, H, W, 3) of the model's size -> the stem's features (N, C, h, w), on the model's device."""
    pixels = torch.as_tensor(pixels).to(model.device)
    return model.encode_images(processor.image_processor.normalize_pixels(pixels))


def _edges(placed: Sequence[int], inner: Sequence[int], length: int, size: int) -> tuple[float, float]:
    """Both ends of an image along one axis, as fractions of the model's input.

    The image is `length` pixels long, of which `inner` (from, to) were kept, and these lie at `placed` of `size`.
    """
    low, high = placed[0] / size, placed[1] / size
    scale = (high - low) / (inner[1] - inner[0])
    return low - inner[0] * scale, high + (length - inner[1]) * scale


def _within(numbers: Iterable[Any], low: float, high: float) -> bool:
    return all(isinstance(n, int | float) and low <= n <= high for n in numbers)


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise InputError(f"image: an array of shape {array.shape} is not an image; expected (H, W, 3)")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise InputError("image: an array of floats must have finite values from 0 to 1")
        array = np.round(array * 255).astype(np.uint8)
    elif array.dtype.kind == "b":
        array = array.astype(np.uint8) * 255
    elif array.dtype.kind in "iu":
        if array.min() < 0 or array.max() > 255:
            raise InputError("image: an array of whole numbers must have values from 0 to 255")
        array = array.astype(np.uint8)
    else:
        raise InputError(f"image: an array of {array.dtype} is not an image; expected uint8")
    return Image.fromarray(np.ascontiguousarray(array))


def _as_list(images: Any) -> list[Any]:
    if isinstance(images, list | tuple) or (isinstance(images, np.ndarray | torch.Tensor) and images.ndim == 4):
        images = list(images)
        if not images:
            raise InputError("image: an empty list of images")
        return images
    return [images]


def possible_answers(question: ReadQuestion, answers: Sequence[str]) -> torch.Tensor:
    """Boolean mask (answers,): a guess about what is not in CLEVR's language is of the kind that is asked for."""
    asked = ANSWERS if question.is_clevr else asked_answers(question.restated or question.text)
    possible = torch.tensor([name in asked or name not in ANSWERS for name in answers])
    return possible if possible.any() else ~possible


def rank_answers(logits: torch.Tensor, answers: Sequence[str], top: int) -> list[tuple[str, float]]:
    """Logits (answers,) of one question -> its `top` most probable answers with their probabilities, falling.

    Those that are not possible are left out.
    """
    best = logits.float().softmax(0).topk(min(top, len(answers)))
    return [(answers[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True) if p]
