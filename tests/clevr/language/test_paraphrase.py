"""People's own words become CLEVR's; CLEVR's own stay as they are, and nothing is made of what means nothing."""

import json
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_strategies import SHARED, needs_shared

from vqa.clevr.annotations import questions_path
from vqa.clevr.language.paraphrase import parses, read_words, restate
from vqa.clevr.language.parser import WORDS, parse_question, words_of
from vqa.clevr.language.spelling import KEYS_BESIDE, corrections
from vqa.utils.resources import shipped


@needs_shared
def test_official_questions_stay_as_they_are():
    texts = [
        record["question"]
        for name in ("clevr-language/CLEVR_test_questions_15k.json", "clevr-genuine-dev/closure_questions.json")
        for record in json.loads((SHARED / name).read_bytes())["questions"]
    ]
    assert [text for text in texts if read_words(text) != words_of(text)] == []


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("whats the colour of the big ball", "what is the color of the big ball"),
        ("how many shiny blocks r there", "how many shiny blocks are there"),
        ("How many silver boxes are there in this picture?", "how many gray cubes are there"),
        ("How many items are pictured?", "how many things are visible"),
        ("how many cubes", "how many cubes are there"),
        ("How many objects are green?", "how many green objects are there"),
        ("How many of the cubes are shiny and red?", "how many red shiny cubes are there"),
        ("How many objects are cylinders?", "how many cylinders are there"),
        ("any red cubes?", "are there any red cubes"),
        ("Are any of the balls gold?", "are there any yellow balls"),
        ("do you see a ball left of the big cube", "is there a ball left of the big cube"),
        ("Is the red ball metallic or matte?", "what material is the red ball"),
        ("What color is the cube that is metallic?", "what color is the metallic cube"),
        ("What shape is the shiny large cyan thing?", "what shape is the large cyan shiny thing"),
        ("What color ball is behind the large gray cube?", "what color is the ball that is behind the large gray cube"),
        ("What is in front of the shiny ball?", "what shape is the thing that is in front of the shiny ball"),
        ("Color of the round object?", "what is the color of the sphere"),
        ("Waht colr is teh cilinder behinf the purpel spheer?", "what color is the cylinder behind the purple sphere"),
        (
            "Are any of the objects the same color as the ball?",
            "are there any objects that are the same color as the ball",
        ),
        ("Are there as many cubes as balls?", "are there an equal number of cubes and balls"),
        ("Are there less cubes than there are balls?", "are there fewer cubes than balls"),
        ("How many objects are red or yellow?", "how many objects are either red things or yellow things"),
        ("What is the finish of the only blue item?", "what is the material of the blue thing"),
        ("what color is big sphere behind blue cube", "what color is the big sphere behind the blue cube"),
        ("What id the size o the cube?", "what is the size of the cube"),
        ("Are three any cubes?", "are there any cubes"),
    ],
)
def test_free_wording_becomes_clevrs(said, meant):
    assert " ".join(read_words(said)) == meant
    parse_question(meant)


def test_short_forms_are_read_beside_unknown_words():
    assert " ".join(read_words("whats the colour of the giraffe")) == "what is the color of the giraffe"


@pytest.mark.parametrize(
    "text",
    [
        "Are all cubes the same size?",
        "Is there one cube near this ball?",
        "What color is the light between two black cubes?",
        "How many cats share this bright chair with nothing else?",
    ],
)
def test_other_english_words_are_not_taken_for_misspelt(text):
    assert [word for word in read_words(text) if word not in WORDS] == [w for w in words_of(text) if w not in WORDS]


def test_words_that_a_model_knows_stay():
    text = "What color is the huge square in the picture?"
    assert read_words(text) == ["what", "color", "is", "the", "large", "cube"]
    assert read_words(text, {*WORDS, "huge", "square", "picture"}) == words_of(text)


@pytest.mark.parametrize("word", ["largest", "smaller", "tallest"])
def test_comparisons_are_no_sizes(word):
    assert not parses(restate(f"What color is the {word} cube?"))


@given(st.text(max_size=80))
def test_any_text_can_be_read(text):
    assert all(word and not word.isspace() for word in read_words(text))


def test_reading_takes_milliseconds_at_the_worst():
    started = time.process_time()
    read_words("wht cubw sphre " * 30)
    read_words("abcde " * 500)
    read_words(("small " * 90) + "cubess")
    read_words("how many " * 200)
    assert time.process_time() - started < 2


def with_typing_errors(question: str, count: int, rng: random.Random) -> str:
    """Two neighboring letters swapped in so many of a question's longer words."""
    words = question.rstrip("?").split()
    long = [i for i, word in enumerate(words) if len(word) > 3]
    for i in rng.sample(long, count):
        j = rng.randrange(1, len(words[i]) - 1)
        words[i] = words[i][:j] + words[i][j : j + 2][::-1] + words[i][j + 2 :]
    return " ".join(words)


def seconds_to_read(texts: list[str]) -> float:
    parses.cache_clear()
    started = time.process_time()
    for text in texts:
        parses(restate(text))
    return time.process_time() - started


def test_six_typing_errors_cost_half_a_clean_reading_at_most():
    records = json.loads(questions_path(shipped("data/clevr-mini"), "train").read_bytes())["questions"]
    clean = [text for text in (record["question"] for record in records) if sum(len(w) > 3 for w in text.split()) > 7]
    rng = random.Random(0)
    wrong = [with_typing_errors(text, 6, rng) for text in clean]
    assert sum(parses(restate(text)) for text in wrong) > 0.9 * len(wrong) > 50
    seconds_to_read(wrong)
    assert min(seconds_to_read(wrong) for _ in range(3)) < 1.5 * min(seconds_to_read(clean) for _ in range(3))


@given(word=st.sampled_from([w for w in WORDS if len(w) > 3]), data=st.data())
def test_one_error_is_undone_or_ambiguous(word, data):
    i = data.draw(st.integers(0, len(word) - 1))
    kind = data.draw(st.sampled_from(["drop", "double", "swap", "beside"]))
    key = data.draw(st.sampled_from(KEYS_BESIDE[word[i]]))
    wrong = {
        "drop": word[:i] + word[i + 1 :],
        "double": word[: i + 1] + word[i:],
        "swap": word[:i] + word[i : i + 2][::-1] + word[i + 2 :],
        "beside": word[:i] + key + word[i + 1 :],
    }[kind]
    assert wrong == word or wrong in WORDS or word in corrections(wrong, WORDS)
    assert corrections("xyzzy", WORDS) == []
