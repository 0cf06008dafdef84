"""Images and questions become tensors, the same from every form they come in."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer

from vqa.clevr.language.paraphrase import parses, read_words, restate
from vqa.clevr.language.parser import MAX_WORDS, WORDS, words_of
from vqa.errors import InputError
from vqa.model import FilmSEImageProcessor, FilmSEProcessor, build_config, build_processor
from vqa.model.processing import word_tokenizer
from vqa.utils.images import content_box, load_image, resize_image

CLEVR_QUESTION = "What color is the big metal thing that is left of the ball?"


@pytest.fixture(scope="module")
def processor():
    return build_processor(build_config())


def test_a_image_is_the_same_in_every_form(processor, image_file):
    opened = Image.open(image_file)
    pixels = np.asarray(opened.convert("RGB"))
    forms = [
        image_file,
        str(image_file),
        image_file.read_bytes(),
        opened,
        pixels,
        np.asarray(opened),
        pixels.transpose(2, 0, 1),
        pixels / 255,
        torch.from_numpy(pixels.copy()),
        torch.from_numpy(pixels.transpose(2, 0, 1) / 255.0),
    ]
    values = processor(images=forms, return_tensors="pt")["pixel_values"]
    assert values.shape == (10, 3, 128, 192)
    assert (values == values[0]).all()
    single = processor(images=opened, return_tensors="pt")["pixel_values"]
    assert torch.equal(single[0], values[0])


def test_pixels_are_those_of_packed_training_data(processor, image_file):
    packed = resize_image(load_image(image_file), (128, 192))
    assert (processor.image_processor.to_array(image_file) == packed).all()
    values = processor(images=image_file, return_tensors="np")["pixel_values"]
    expected = (packed.transpose(2, 0, 1)[None] / 255 - 0.45) / 0.15
    np.testing.assert_allclose(values, expected, atol=1e-5)


@given(width=st.integers(1, 900), height=st.integers(1, 900))
def test_a_image_of_any_ratio_is_never_squashed(width, height):
    images = FilmSEImageProcessor(size={"height": 32, "width": 48})
    left, top, right, bottom = images.placement(width, height)
    assert 0 <= left < right <= 48
    assert 0 <= top < bottom <= 32
    assert right - left == 48 or bottom - top == 32
    scale = min(48 / width, 32 / height)
    assert abs((right - left) - width * scale) <= 1 or width * scale < 1
    assert abs((bottom - top) - height * scale) <= 1 or height * scale < 1


def test_the_border_is_neutral_and_squashing_has_none():
    square = Image.new("RGB", (100, 100), (255, 0, 0))
    kept = FilmSEImageProcessor(size={"height": 32, "width": 48})(square, return_tensors="pt")["pixel_values"]
    assert kept[0, :, :, :8].abs().max() < 0.02
    assert (kept[0, 0, :, 8:40] > 3).all()
    squashed = FilmSEImageProcessor(size={"height": 32, "width": 48}, do_pad=False)
    assert (squashed(square, return_tensors="pt")["pixel_values"][0, 0] > 3).all()


@pytest.mark.parametrize("color", [(128, 128, 128), (0, 0, 0), (255, 255, 255), (30, 90, 200)])
@settings(max_examples=8)
@given(borders=st.tuples(*[st.sampled_from([0, 20, 96])] * 4))
def test_plain_borders_are_cut_off(color, borders):
    images = FilmSEImageProcessor(size={"height": 32, "width": 48})
    bare = Image.effect_noise((120, 80), 60).convert("RGB")
    left, top, right, bottom = borders
    framed = Image.new("RGB", (120 + left + right, 80 + top + bottom), color)
    framed.paste(bare, (left, top))
    assert (images.to_array(framed) == images.to_array(bare)).all()
    expected = (-left / 120, -top / 80, 1 + right / 120, 1 + bottom / 80)
    assert images.prepare(framed).box == pytest.approx(expected)
    kept = FilmSEImageProcessor(size={"height": 32, "width": 48}, do_trim=False)
    assert (kept.to_array(framed) == images.to_array(bare)).all() == (not any(borders))


def test_backdrops_that_fade_are_no_borders():
    shade = np.concatenate([np.full(20, 100), np.linspace(100, 105, 60)]).astype(np.uint8)[:, None, None]
    fading = np.broadcast_to(shade, (80, 120, 3)).copy()
    fading[25:60, 50:62] = 255
    assert content_box(Image.fromarray(fading)) == (0, 0, 120, 80)
    lonely = np.zeros((300, 300, 3), np.uint8)
    lonely[140:160, 140:160] = np.random.default_rng(0).integers(0, 256, (20, 20, 3))
    assert content_box(Image.fromarray(lonely)) == (0, 0, 300, 300), "a speck is no image in a frame"


def test_clevr_images_have_no_border():
    for path in sorted((Path(__file__).parents[2] / "data/clevr-mini/images").rglob("*.jpg")):
        image = load_image(path)
        for quality in (30, 95):
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality)
            assert content_box(load_image(buffer.getvalue())) == (0, 0, *image.size)


@pytest.mark.parametrize(
    "broken",
    [
        b"no image",
        "/no/such/file.png",
        np.zeros((5, 5, 2)),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((2, 2, 2, 2, 2)),
        np.full((5, 5, 3), np.nan),
        np.full((5, 5, 3), 7.0),
        np.full((5, 5, 3), -1),
        np.array([["a"]]),
        np.zeros((5, 5), dtype=complex),
        12,
        [None],
        [],
    ],
    ids=str,
)
def test_what_is_no_image_is_refused(processor, broken):
    with pytest.raises(InputError, match=r"image|file\.png"):
        processor(images=broken)


def test_a_image_that_breaks_while_it_is_decoded_is_refused(processor, image_file):
    cut = Image.open(io.BytesIO(image_file.read_bytes()[:5000]))
    with pytest.raises(InputError, match="damaged or cut short"):
        processor(images=cut)


@pytest.mark.parametrize(
    "settings",
    [
        {"size": {"height": 10**6, "width": 10**6}},
        {"size": {"height": "32", "width": 48}},
        {"size": {"shortest_edge": 32}},
        {"image_std": [0.0, 1.0, 1.0]},
        {"image_mean": [0.5]},
        {"image_mean": ["a", 1, 2]},
        {"rescale_factor": None},
        {"size": 7},
        {"image_std": 3},
    ],
    ids=str,
)
def test_broken_settings_are_refused(settings):
    with pytest.raises(InputError, match="image_processor"):
        FilmSEImageProcessor(**settings)


def test_questions_are_numbered_by_words_and_padded_on_the_right(processor):
    batch = processor(text=["What color is the ball?", "How many?"], return_tensors="pt")
    number = {word: i + 2 for i, word in enumerate(WORDS)}
    assert batch["input_ids"].tolist() == [
        [number[word] for word in ("what", "color", "is", "the", "ball")],
        [number["how"], number["many"], 0, 0, 0],
    ]
    assert batch["attention_mask"].tolist() == [[1] * 5, [1, 1, 0, 0, 0]]
    assert set(batch) == {"input_ids", "attention_mask"}
    padded = processor(text=CLEVR_QUESTION, padding="max_length", max_length=20, return_tensors="np")
    assert padded["input_ids"].shape == (1, 20)


def test_no_question_is_empty_or_endless(processor):
    assert processor.encode_questions(["", "??", "cube " * 500]) == [[1], [1], [WORDS.index("cube") + 2] * MAX_WORDS]
    assert processor.read_question("").words == ["[UNK]"]


@given(st.text(max_size=60))
def test_each_token_has_its_word(text):
    tokens = _word_processor().encode_questions([text])[0]
    read = _word_processor().read_question(text)
    words = read.words
    assert read.token_ids == tokens
    assert len(tokens) == len(words)
    assert read.is_clevr == parses(restate(text))
    assert read.restated == (None if read_words(text) == words_of(text) else " ".join(read_words(text)))
    assert words == (read_words(text)[:MAX_WORDS] or ["[UNK]"])
    assert [w for w, t in zip(words, tokens, strict=True) if t > 1] == [w for w in words if w in WORDS]
    assert read.unknown_words == [w for w in dict.fromkeys(read_words(text)) if w not in WORDS]


@pytest.mark.parametrize("text", [CLEVR_QUESTION, "How many cubes are there?", "Is there a big thing?"])
def test_the_tokenizer_alone_reads_plain_questions_alike(text):
    assert word_tokenizer()(text)["input_ids"] == _word_processor().encode_questions([text])[0]


def _word_processor(cache=[]):  # noqa: B006 (built once; hypothesis does not like function-scoped fixtures)
    if not cache:
        cache.append(build_processor(build_config()))
    return cache[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no words"),
        (" ?! ", "has no words"),
        ("cube " * 2000, "10,000 characters"),
        ("a " * 200, "200 words"),
        ("Was ist das?", "none of its words is known: 'was', 'ist', 'das'"),
        ("Какого цвета шар?", "'какого', 'цвета', 'шар'"),
        ("这个球是什么颜色", "none of its words is known"),
        (7, "expected text"),
        (None, "expected text"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(processor, text, message):
    with pytest.raises(InputError, match=message):
        processor.check_question(text)


def test_unknown_words_are_named_once(processor):
    assert processor.check_question("Is the dog a DOG, or a big cat?").unknown_words == ["dog", "cat"]


def test_it_reloads_offline_as_it_was(processor, tmp_path, image_file):
    processor.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(again, FilmSEProcessor)
    assert isinstance(AutoImageProcessor.from_pretrained(tmp_path), FilmSEImageProcessor)
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == processor.tokenizer.get_vocab()
    texts = [CLEVR_QUESTION, "How many unheard-of cubes?"]
    first, second = (p(images=image_file, text=texts, return_tensors="pt") for p in (processor, again))
    assert set(first) == set(second) == {"pixel_values", "input_ids", "attention_mask"}
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_it_encodes_ten_thousand_questions_a_second(processor):
    import time

    texts = [CLEVR_QUESTION] * 5000
    started = time.process_time()
    processor.encode_questions(texts)
    assert time.process_time() - started < 0.5
