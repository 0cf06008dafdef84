import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_strategies import SHARED, needs_shared, random_scenes

from vqa.clevr.annotations import iter_questions, read_scenes
from vqa.clevr.language.parser import MAX_WORDS, WORDS, parse_question, unknown_words, words_of
from vqa.clevr.programs import KINDS, IllPosedError, Step, answer_string, equivalent, execute, program_from_json
from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import QuestionGenerator
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.cli import main
from vqa.errors import InputError

GENUINE = "clevr-genuine-dev/scenes/CLEVR_train_scenes.json"


@needs_shared
def test_all_official_test_questions_parse_and_have_no_unknown_word():
    records = json.loads((SHARED / "clevr-language/CLEVR_test_questions_15k.json").read_bytes())["questions"]
    said = set()
    for record in records:
        parse_question(record["question"])
        said.update(words_of(record["question"]))
    assert len(records) == 15000
    assert said == set(WORDS)


@needs_shared
@pytest.mark.parametrize(
    ("scene_file", "question_file", "count"),
    [
        (GENUINE, "clevr-genuine-dev/questions/CLEVR_train_questions.json", 2680),
        (GENUINE, "clevr-genuine-dev/closure_questions.json", 1608),
        *(
            pytest.param(
                f"clevr-blender/scenes/CLEVR_{split}_scenes.json",
                f"clevr-blender/questions/CLEVR_{split}_questions.json",
                count,
                marks=() if split == "valB" else pytest.mark.slow,
            )
            for split, count in (("train", 26540), ("val", 5000), ("trainA", 10000), ("valA", 3000), ("valB", 4000))
        ),
    ],
)
def test_stored_questions_parse_to_their_programs_and_answers(scene_file, question_file, count):
    of_image = read_scenes(SHARED / scene_file)
    seen = 0
    for question in iter_questions(SHARED / question_file):
        program = parse_question(question.question)
        assert equivalent(program, question.program), question.question
        assert answer_string(execute(program, of_image[question.image_filename])[-1]) == question.answer
        seen += 1
    assert seen == count


def test_generated_questions_parse_to_their_programs():
    templates = load_templates() + load_templates(families=["closure"])
    rng = random.Random(0)
    for scene in random_scenes(40):
        for question in QuestionGenerator(templates).generate(scene, 40, rng):
            assert equivalent(parse_question(question.question), question.program), question.question


@needs_shared
def test_questions_of_people_are_read_in_part_and_sensibly():
    """A quarter of CLEVR-Humans is CLEVR's wording; what is parsed asks for the kind of thing that was answered."""
    records = json.loads((SHARED / "clevr-language/CLEVR-Humans-val.json").read_bytes())["questions"]
    parsed = sensible = 0
    for record in records:
        try:
            kind = KINDS[parse_question(record["question"])[-1].function][1]
        except InputError:
            continue
        answers = {"boolean": ("yes", "no"), "number": tuple(map(str, range(11)))} | ATTRIBUTES
        parsed += 1
        sensible += record["answer"] in answers[kind]
    assert parsed > 0.24 * len(records)
    assert sensible > 0.995 * parsed
    assert sum(not unknown_words(record["question"]) for record in records) > 0.4 * len(records)


def test_a_program_in_clevrs_order():
    assert parse_question("What color is the cube left of the big metal sphere?") == (
        Step("scene"),
        Step("filter_size", (0,), "large"),
        Step("filter_material", (1,), "metal"),
        Step("filter_shape", (2,), "sphere"),
        Step("unique", (3,)),
        Step("relate", (4,), "left"),
        Step("filter_shape", (5,), "cube"),
        Step("unique", (6,)),
        Step("query_color", (7,)),
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What color is the shiny ball?", "what is the colour of the metallic sphere"),
        ("What's the size of the grey block?", "How big is the gray cube?"),
        ("How many other things are left of the cube?", "What number of objects are on the left side of the block?"),
        ("There is a cube; what number of balls are behind it?", "How many spheres are behind the cube?"),
        (
            "Is there anything else of the same size as the ball?",
            "Are there any other things that are the same size as the ball?",
        ),
        ("Are there more cubes than balls?", "Are there fewer balls than cubes?"),
        (
            "What shape is the thing that is both left of the cube and behind the ball?",
            "The thing behind the ball and left of the cube is what shape?",
        ),
        (
            "How many things are red cubes or balls that are behind the cylinder?",
            "What number of objects are either red blocks or spheres behind the cylinder?",
        ),
    ],
)
def test_wordings_of_one_meaning(one, other):
    assert equivalent(parse_question(one), parse_question(other))


def test_a_modifier_belongs_to_the_noun_before_it():
    chain = parse_question("How many cubes are left of the ball behind the cylinder?")
    both = parse_question("How many cubes are both left of the ball and behind the cylinder?")
    assert [step.function for step in chain].count("relate") == 2
    assert "intersect" not in [step.function for step in chain]
    assert "intersect" in [step.function for step in both]
    deep = parse_question(
        "What size is the cube left of the ball that is both behind the block and right of the red thing?"
    )
    functions = [step.function for step in deep]
    assert functions.index("intersect") < len(functions) - 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 words"),
        ("?!", "expected"),
        ("What color is the pyramid?", "'pyramid'"),
        ("What colour is the ball on the moon?", "'moon'"),
        ("cube " * (MAX_WORDS + 1), "expected 1 to"),
        ("The cube.", "none of the forms"),
        ("Is it true?", "'true'"),
        ("Is there a red blue cube?", "two colors"),
        ("What size is the tiny big ball?", "two sizes"),
        ("What color is it?", "'it'"),
        ("There is a cube; what color is the ball?", "does not speak of it"),
        ("What color is the other cube?", "other"),
        ("There is another cube; what color is it?", "another"),
        ("How many cubes are both left of the ball?", "'both'"),
        ("What size is the cube left of the ball behind the block and right of the red thing?", "two ways"),
        ("What color is the cube left of?", "none of the forms"),
        ("¿Qué color? \ud800 \x00", "lacks"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(text, reason):
    with pytest.raises(InputError) as caught:
        parse_question(text)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 500


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    try:
        parse_question(text)
    except InputError:
        return


_pieces = st.sampled_from(
    [
        *(
            "how many cubes are",
            "what color is",
            "is there a ball",
            "the red thing",
            "left of",
            "that is",
            "the same size as",
        ),
        *("both", "and", "or", "it", "there is a cube ;", "are there more", "than", "spheres", "another", "other", "?"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_pieces, min_size=2, max_size=12).map(" ".join))
def test_what_is_read_is_a_sound_program(text):
    try:
        program = parse_question(text)
    except InputError:
        return
    assert program_from_json([step.to_json() for step in program]) == program
    for scene in random_scenes(3):
        try:
            execute(program, scene)
        except IllPosedError:
            continue


def test_the_longest_questions_are_refused_in_no_time():
    for text in (
        "is " + "the cube left of " * 24 + "the same size",
        "do " + "the cube that is the same size as " * 12 + "the cube have the same size",
        "how many cubes are " + "left of the ball and " * 24,
        "how many things are " + "cubes or " * 48,
    ):
        with pytest.raises(InputError):
            parse_question(text)


def test_the_command_shows_the_program(capsys):
    assert main(["data", "parse", "Is there a red cube?"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()][1] == ["1", "filter_color", "red", "<-", "0"]
    assert main(["data", "parse", "--json", "Is there a red cube?"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert program_from_json(record) == parse_question("Is there a red cube?")
    assert main(["data", "parse", "Is there a red pyramid?"]) == 2
    assert "pyramid" in capsys.readouterr().err
