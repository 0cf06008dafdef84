import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_strategies import SHARED, batch_questions, make_scene, needs_shared, random_scenes, scenes

from vqa.clevr.annotations import read_questions, read_scenes, write_scenes
from vqa.clevr.language.describe import describe
from vqa.clevr.language.parser import WORDS, parse_question, words_of
from vqa.clevr.programs import Step, answer_string, equivalent, execute
from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import (
    Balance,
    QuestionGenerator,
    generate_questions,
    make_question_file,
)
from vqa.clevr.question_generation.templates import PARAMETER, read_templates
from vqa.clevr.scenes import SceneObject
from vqa.clevr.vocabulary import ANSWERS, ATTRIBUTES, RELATIONS, SYNONYMS
from vqa.cli import main
from vqa.errors import InputError

TEMPLATES = load_templates()
CLOSURE = load_templates(families=["closure"])
ALL = (*TEMPLATES, *CLOSURE)
CLEVR_FILES = {
    "compare_integer": 9,
    "comparison": 16,
    "one_hop": 6,
    "same_relate": 28,
    "single_and": 5,
    "single_or": 8,
    "three_hop": 6,
    "two_hop": 6,
    "zero_hop": 6,
}
CLOSURE_FILES = {
    "and_mat_spa": 12,
    "embed_spa_mat": 4,
    "embed_mat_spa": 4,
    "compare_mat": 9,
    "compare_mat_spa": 9,
    "or_mat": 4,
    "or_mat_spa": 4,
}


@pytest.fixture(scope="module", params=["scene by scene", "at once"])
def asked(request):
    """(scene, question) pairs of all families on 200 random scenes."""
    if request.param == "at once":
        return batch_questions(ALL, random_scenes(200), 20)
    rng, balance, generator = random.Random(0), Balance(), QuestionGenerator(ALL)
    return [
        (scene, question) for scene in random_scenes(200) for question in generator.generate(scene, 20, rng, balance)
    ]


def test_all_families_are_shipped():
    counts = Counter(template.key[0].removesuffix(".json") for template in TEMPLATES)
    assert dict(counts) == CLEVR_FILES
    assert sum(counts.values()) == 90
    assert dict(Counter(template.key[0].removesuffix(".json") for template in CLOSURE)) == CLOSURE_FILES


def test_every_family_is_asked_equally_often(asked):
    counts = Counter(question.family for _, question in asked)
    assert counts.keys() == {template.name for template in ALL}
    assert len(asked) == 200 * 20
    assert min(counts.values()) > 0.75 * max(counts.values())


def test_answers_are_right_and_of_the_28(asked):
    for scene, question in asked:
        assert answer_string(execute(question.program, scene)[-1]) == question.answer
        assert question.answer in ANSWERS


def test_answers_are_level_within_a_family(asked):
    answers: dict[str, Counter] = {}
    for _, question in asked:
        answers.setdefault(question.family, Counter())[question.answer] += 1
    for family, counts in answers.items():
        first, second = counts.most_common(2)
        assert first[1] <= 1.1 * second[1] + 1, family
    for question_type in ("exist", "query attribute", "count"):
        families = {q.family for _, q in asked if q.type == question_type}
        assert all(len(answers[family]) >= 2 for family in families)


def test_a_scene_is_not_asked_the_same_twice(asked):
    programs = Counter((id(scene), question.program) for scene, question in asked)
    assert max(programs.values()) == 1


def test_wording_is_clean_and_within_the_language(asked):
    for _, question in asked:
        text = question.question
        assert not re.search(r"[<>\[\]]|  | [?;]|\ba [aeiou]|^[^A-Z]|[^?]$", text), text
        assert set(words_of(text)) <= set(WORDS), text


def test_no_relation_is_idle(asked):
    """Without a relation (or "same size as"), the next unique, count or exist would see other objects."""
    seen = Counter()
    for scene, question in asked:
        for i, step in enumerate(question.program):
            if step.function == "relate":
                seen["relate"] += 1
                assert reached(question.program, scene, i) != reached(drop(question.program, i), scene, i)
            elif step.function.startswith("same"):
                end = i + 1
                while question.program[end].function.startswith("filter"):
                    end += 1
                if question.program[end].function in ("unique", "count", "exist"):
                    seen["same"] += 1
                    outputs = execute(question.program, scene)
                    others = [j for j in range(len(scene.objects)) if j != outputs[step.inputs[0]]]
                    for chosen in question.program[i + 1 : end]:
                        name = chosen.function.removeprefix("filter_")
                        others = [j for j in others if getattr(scene.objects[j], name) == chosen.value]
                    assert tuple(others) != outputs[end - 1]
    assert min(seen["relate"], seen["same"]) > 500


def drop(program, i):
    return (*program[:i], Step("scene"), *program[i + 1 :])


def reached(program, scene, start):
    """The set that the first unique, count or exist after `start` reads."""
    uses = {start}
    for i in range(start + 1, len(program)):
        if uses & set(program[i].inputs):
            if program[i].function in ("unique", "count", "exist"):
                return execute(program[:i], scene)[program[i].inputs[0]]
            uses.add(i)
    raise AssertionError("nothing reads the relation")


def test_a_chain_does_not_come_back(asked):
    for scene, question in asked:
        if question.template_filename in ("two_hop.json", "three_hop.json"):
            outputs = execute(question.program, scene)
            passed = [outputs[i] for i, step in enumerate(question.program) if step.function == "unique"]
            assert len(set(passed)) == len(passed)


def test_words_alone_do_not_compare_two_sets(asked):
    checked = 0
    for _, question in asked:
        joined = question.program[-1] if "compare_integer" in question.family else question.program[-2]
        if question.family in ("compare_integer.json:0", "compare_integer.json:1", "single_or.json:0"):
            one, other = (said(question.program, i) for i in joined.inputs)
            assert not one <= other
            assert not other <= one
            checked += 1
    assert checked > 50


def said(program, i):
    """The filters above step i."""
    found = set()
    while program[i].inputs:
        if program[i].value:
            found.add((program[i].function, program[i].value))
        i = program[i].inputs[0]
    return found


def test_the_asked_attribute_is_not_said(asked):
    for _, question in asked:
        last = question.program[-1]
        name = last.function.partition("_")[2]
        asks = [last] if last.function.startswith("query") else []
        if last.function.startswith("equal") and name != "integer":
            asks = [question.program[i] for i in last.inputs]
        for query in asks:
            i = question.program[query.inputs[0]].inputs[0]
            while question.program[i].function.startswith("filter"):
                assert question.program[i].function != f"filter_{name}"
                i = question.program[i].inputs[0]


@settings(max_examples=25, deadline=None)
@given(scenes, st.integers(0, 2**32))
def test_any_scene_yields_only_right_questions(scene, seed):
    questions = QuestionGenerator(ALL).generate(scene, 10, random.Random(seed))
    assert len(questions) <= 10
    for question in questions:
        assert answer_string(execute(question.program, scene)[-1]) == question.answer
        assert question.answer in ANSWERS


@settings(max_examples=25, deadline=None)
@given(st.lists(scenes, min_size=1, max_size=3))
def test_any_scenes_at_once_yield_only_right_questions(world):
    for scene, question in batch_questions(ALL, world, 10):
        assert answer_string(execute(question.program, scene)[-1]) == question.answer
        assert question.answer in ANSWERS


def test_scenes_at_once_have_as_many_questions_as_they_allow():
    alone = make_scene([SceneObject("cube", "red", "large", "metal", (0.0, 0.0, 0.7))])
    counts = Counter(
        id(scene) for scene, _ in batch_questions(TEMPLATES, [make_scene([]), alone, *random_scenes(3)], 30)
    )
    assert sorted(counts.values())[-3:] == [30] * 3
    assert counts[id(alone)] > 5


def test_more_objects_than_answers_is_survived():
    crowd = make_scene(SceneObject("cube", "red", "large", "metal", (float(i), 0.0, 0.7)) for i in range(30))
    for question in QuestionGenerator(TEMPLATES).generate(crowd, 50, random.Random(0)):
        assert question.answer in ANSWERS


def test_the_same_seed_gives_the_same_questions():
    world = random_scenes(20)
    one = list(generate_questions(world, TEMPLATES, 10, seed=7))
    assert one == list(generate_questions(world, TEMPLATES, 10, seed=7))
    assert one != list(generate_questions(world, TEMPLATES, 10, seed=8))
    assert [question.question_index for question in one] == list(range(200))


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path):
    write_scenes(tmp_path / "scenes.json", numbered(random_scenes(5)))
    written = []
    for hash_seed in ("1", "2"):
        out = tmp_path / f"{hash_seed}.json"
        command = [sys.executable, "-m", "vqa.cli", "data", "questions"]
        code = "import sys; from vqa.cli import main; sys.exit(main(sys.argv[1:]))"
        command = [
            sys.executable,
            "-c",
            code,
            *command[3:],
            "--scenes",
            str(tmp_path / "scenes.json"),
            "--out",
            str(out),
        ]
        subprocess.run(command, check=True, env={"PYTHONHASHSEED": hash_seed}, capture_output=True)
        written.append(out.read_bytes())
    assert written[0] == written[1]


def numbered(world):
    return [replace(scene, image_index=i, image_filename=f"CLEVR_test_{i:06}.png") for i, scene in enumerate(world)]


def test_balance_is_the_callers():
    generator, balance, scene = QuestionGenerator(TEMPLATES), Balance(), random_scenes(1)[0]
    generator.generate(scene, 5, random.Random(0), balance)
    assert sum(balance.families.values()) == 5
    assert sum(sum(counts.values()) for counts in balance.answers.values()) == 5
    first = set(balance.families)
    generator.generate(scene, 5, random.Random(0), balance)
    assert len(first) == 5
    assert len(balance.families) == 10


@pytest.mark.slow
def test_speed():
    world, generator, rng, balance = random_scenes(1000), QuestionGenerator(TEMPLATES), random.Random(0), Balance()
    start = time.process_time()
    made = sum(len(generator.generate(scene, 10, rng, balance)) for scene in world)
    assert made / (time.process_time() - start) > 3000
    start = time.process_time()
    assert len(batch_questions(TEMPLATES, world, 10)) / (time.process_time() - start) > 10_000


# ---- the official language -----------------------------------------------------------------------------------------


def sentence_patterns(templates):
    """Everything that the wordings can say, as one regular expression for each."""
    words = {"thing": ("thing", "object"), **SYNONYMS}

    def slot(kind):
        values = RELATIONS if kind == "relation" else ATTRIBUTES[kind] + (("thing",) if kind == "shape" else ())
        said = sorted((word for value in values for word in words.get(value, (value,))), key=len, reverse=True)
        return f"(?: (?:{'|'.join(said)})){'' if kind in ('relation', 'shape') else '?'}"

    def pattern(template, text):
        text = re.sub(r" ?\[([^]]*)\]", r"(?: \1)?", text.replace("?", r"\?"))
        return re.sub(f" ?({PARAMETER.pattern})", lambda match: slot(template.parameters[match[1]]), text)

    for template in templates:
        for text in template.texts:
            for said in {
                text,
                re.sub(r"\banother ", "a ", text.replace("other ", "") if "the other" in text else text),
            }:
                yield re.compile(pattern(template, said))
            yield re.compile(pattern(template, re.sub(r"(?<!an)other ", "", text)))


@needs_shared
@pytest.mark.slow
def test_our_wordings_say_99_percent_of_the_official_questions():
    patterns = list(sentence_patterns(TEMPLATES))
    records = json.loads((SHARED / "clevr-language/CLEVR_test_questions_15k.json").read_bytes())["questions"]
    texts = [" ".join(record["question"].split()) for record in records]
    said = 0
    for text in texts:
        for i, found in enumerate(patterns):
            if found.fullmatch(text):
                patterns.insert(0, patterns.pop(i))
                said += 1
                break
    assert said / len(texts) > 0.99


# ---- the public template format --------------------------------------------------------------------------------------

SIDES = ["<Z>", "<C>", "<M>", "<S>"]
SECOND = ["<Z2>", "<C2>", "<M2>", "<S2>"]
KINDS = {"Z": "Size", "C": "Color", "M": "Material", "S": "Shape", "R": "Relation"}


def params(*names):
    return [{"name": name, "type": KINDS[name[1]]} for name in names]


def template(**changes):
    return {
        "text": ["Count [all of] the <Z> <C> <M> <S>s, please"],
        "nodes": [
            {"type": "scene", "inputs": []},
            {"type": "filter_count", "inputs": [0], "side_inputs": SIDES},
        ],
        "params": params(*SIDES),
        "constraints": [],
        "query": "a field of somebody else's",
        **changes,
    }


def save(folder, *templates, name="mine.json"):
    path = folder / name
    path.write_text(json.dumps(templates))
    return path


def test_a_users_template_is_asked(tmp_path):
    raw = template(
        text=["How many <Z2> ones are <R> the <Z> <C> <M> <S> or <Z3> <C3> <M3> <S3>s?"],
        nodes=[
            {"type": "scene", "inputs": []},
            {"type": "filter_unique", "inputs": [0], "side_inputs": SIDES},
            {"type": "relate", "inputs": [1], "side_inputs": ["<R>"]},
            {"type": "scene", "inputs": []},
            {"type": "filter", "inputs": [3], "side_inputs": ["<Z3>", "<C3>", "<M3>", "<S3>"]},
            {"type": "union", "inputs": [2, 4]},
            {"type": "filter_size", "inputs": [5], "side_inputs": ["<Z2>"]},
            {"type": "count", "inputs": [6]},
        ],
        params=params(*SIDES, "<R>", "<Z2>", "<Z3>", "<C3>", "<M3>", "<S3>"),
        constraints=[{"type": "OUT_NEQ", "params": [2, 4]}, {"type": "NULL", "params": ["<Z3>"]}],
    )
    save(tmp_path, template(), raw)
    save(tmp_path, {"not": "a template"}, name="mine_meta.json")
    templates = load_templates(tmp_path)
    assert [item.name for item in templates] == ["mine.json:0", "mine.json:1"]
    texts = set()
    for scene in random_scenes(30):
        for question in QuestionGenerator(templates).generate(scene, 6, random.Random(1)):
            assert answer_string(execute(question.program, scene)[-1]) == question.answer
            texts.add(question.question)
            if question.family == "mine.json:1":
                assert "filter_size" not in [
                    step.function for step in question.program[question.program.index(Step("scene"), 1) : -3]
                ]
    assert any(text.startswith("Count all of the") for text in texts)
    assert any(re.match("Count the", text) for text in texts)


def test_constraints_are_kept(tmp_path):
    two = template(
        text=["Do the <Z> <C> <M> <S> and the <Z2> <C2> <M2> <S2> look alike in color?"],
        nodes=[
            {"type": "scene", "inputs": []},
            {"type": "filter_unique", "inputs": [0], "side_inputs": SIDES},
            {"type": "filter_unique", "inputs": [0], "side_inputs": SECOND},
            {"type": "query_color", "inputs": [1]},
            {"type": "query_color", "inputs": [2]},
            {"type": "equal_color", "inputs": [3, 4]},
        ],
        params=params(*SIDES, *SECOND),
        constraints=[{"type": "OUT_NEQ", "params": [1, 2]}, {"type": "NULL", "params": ["<C>", "<C2>"]}],
    )
    save(tmp_path, two)
    for scene in random_scenes(40):
        for question in QuestionGenerator(load_templates(tmp_path)).generate(scene, 5, random.Random(0)):
            outputs = execute(question.program, scene)
            first, second = (outputs[i] for i, step in enumerate(question.program) if step.function == "unique")
            assert first != second
            assert not any(step.function == "filter_color" for step in question.program)


def test_a_wording_that_hides_a_parameter_is_left_out(tmp_path):
    path = save(tmp_path, template(text=["How many?", "How many <Z> <C> <M> <S>s?", "How many [<Z>] <C> <M> <S>s?"]))
    assert read_templates(path)[0].texts == ("How many <Z> <C> <M> <S>s?",)


FILTER = {"type": "filter_count", "inputs": [0], "side_inputs": SIDES}
SCENE = {"type": "scene", "inputs": []}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"text": None}, ".text"),
        ({"text": []}, ".text"),
        ({"text": [3]}, ".text[0]"),
        ({"text": ["How many <Q>s?"]}, ".text[0]"),
        ({"text": ["How [many <Z> <C> <M> <S>s?"]}, ".text[0]"),
        ({"text": ["How [many [of]] <Z> <C> <M> <S>s?"]}, ".text[0]"),
        ({"text": ["How many?"]}, ".text"),
        ({"nodes": []}, ".nodes"),
        ({"nodes": [SCENE, {**FILTER, "type": "filter_weight"}]}, ".nodes[1].type"),
        ({"nodes": [SCENE, {**FILTER, "type": ["filter"]}]}, ".nodes[1].type"),
        ({"nodes": [SCENE, 4]}, ".nodes[1].type"),
        ({"nodes": [SCENE, {**FILTER, "inputs": [1]}]}, ".nodes[1].inputs"),
        ({"nodes": [SCENE, {**FILTER, "inputs": [0, 0]}]}, ".nodes[1].inputs"),
        ({"nodes": [SCENE, {**FILTER, "side_inputs": SIDES[:3]}]}, ".nodes[1].side_inputs"),
        ({"nodes": [SCENE, {**FILTER, "side_inputs": SIDES[::-1]}]}, ".nodes[1].side_inputs"),
        ({"nodes": [SCENE, {**FILTER, "side_inputs": "<Z>"}]}, ".nodes[1].side_inputs"),
        (
            {"nodes": [SCENE, FILTER, {"type": "relate", "inputs": [1], "side_inputs": ["<R>"]}]},
            ".nodes[2].inputs",
        ),
        ({"nodes": [SCENE, FILTER, {"type": "exist", "inputs": [1]}]}, ".nodes[2].inputs"),
        ({"nodes": [SCENE, {**FILTER, "type": "filter"}]}, ".nodes"),
        ({"nodes": [SCENE, {**FILTER, "type": "filter"}, {**FILTER, "inputs": [1]}]}, ".nodes[2].side_inputs"),
        ({"params": [{"name": "Z", "type": "Size"}]}, ".params[0].name"),
        ({"params": [{"name": "<Z>", "type": "Weight"}]}, ".params[0].type"),
        ({"params": {}}, ".params"),
        ({"constraints": [{"type": "NULL", "params": ["<Q>"]}]}, ".constraints[0].params"),
        ({"constraints": [{"type": "OUT_NEQ", "params": [0]}]}, ".constraints[0].params"),
        ({"constraints": [{"type": "OUT_NEQ", "params": [0, 9]}]}, ".constraints"),
        ({"constraints": [{"type": "LARGER", "params": [0, 1]}]}, ".constraints[0].type"),
        ({"constraints": [None]}, ".constraints[0].params"),
    ],
)
def test_a_broken_template_is_refused_with_its_place(tmp_path, change, named):
    path = save(tmp_path, template(), template(**change))
    with pytest.raises(InputError) as caught:
        read_templates(path)
    assert str(caught.value).startswith(f"mine.json[1]{named}:")


@given(
    st.recursive(
        st.none() | st.integers() | st.sampled_from([*SIDES, "scene", "count", "NULL"]),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from([*template(), "type", "name", "inputs", "side_inputs"]), inner)
        ),
        max_leaves=30,
    )
)
@settings(deadline=None, max_examples=40)
def test_any_json_is_templates_or_refused(tmp_path_factory, record):
    path = tmp_path_factory.mktemp("any") / "any.json"
    path.write_text(json.dumps(record))
    try:
        read_templates(path)
    except InputError:
        return


@pytest.mark.parametrize(
    ("families", "count"),
    [
        (["one_hop"], 6),
        (["one_hop.json", "one_hop:3"], 6),
        (["one_hop:3", "two_hop.json:5"], 2),
        (["closure"], 46),
        (["or_mat"], 4),
    ],
)
def test_families_are_chosen_by_name(families, count):
    assert len(load_templates(families=families)) == count


@pytest.mark.parametrize(
    "family", ["four_hop", "one_hop:6", "one_hop:-1", "one_hop:x", "one_hop:", "closure:0", "", "../one_hop"]
)
def test_an_unknown_family_is_refused(family):
    with pytest.raises(InputError, match="family"):
        load_templates(families=[family])


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_writes_clevrs_format(tmp_path, capsys):
    scenes_file, out = tmp_path / "scenes.json", tmp_path / "questions.json"
    world = numbered(random_scenes(4))
    write_scenes(scenes_file, world, {"split": "test"})
    arguments = ["--families", "one_hop", "--families", "same_relate:0", "zero_hop:0", "--per-image", "3"]
    assert main(["data", "questions", "--scenes", str(scenes_file), "--out", str(out), *arguments]) == 0
    assert "12 questions on 4 images" in capsys.readouterr().out
    record = json.loads(out.read_bytes())
    assert record["info"] == {"split": "test"}
    questions, of_image = read_questions(out), read_scenes(scenes_file)
    assert [question.question_index for question in questions] == list(range(12))
    assert {question.template_filename for question in questions} <= {
        "one_hop.json",
        "same_relate.json",
        "zero_hop.json",
    }
    for question in questions:
        scene = of_image[question.image_filename]
        assert (question.image_index, question.split) == (scene.image_index, scene.split)
        assert answer_string(execute(question.program, scene)[-1]) == question.answer


def test_false_premises_are_marked_and_fail_as_they_say(tmp_path, capsys):
    scenes_file, out = tmp_path / "scenes.json", tmp_path / "questions.json"
    world = numbered(random_scenes(40))
    write_scenes(scenes_file, world)
    assert main(["data", "questions", "--scenes", str(scenes_file), "--out", str(out), "--false-premises", "0.5"]) == 0
    questions = read_questions(out)
    kinds = Counter(question.premise for question in questions)
    assert kinds["holds"] == pytest.approx(200, abs=30)
    assert abs(kinds["absent"] - kinds["ambiguous"]) <= 2
    assert kinds.total() == len({(question.image_index, question.program) for question in questions}) == 400
    near = 0
    for question in questions:
        if question.premise == "holds":
            assert question.answer in ANSWERS
            assert question.phrase is None
            continue
        assert question.answer is None
        assert equivalent(parse_question(question.question), question.program)
        counts = []
        for i, step in enumerate(question.program):
            if step.function == "unique":
                outputs = execute(question.program[:i], world[question.image_index])
                counts.append((len(outputs[step.inputs[0]]), describe(question.program, i)))
                if counts[-1][0] != 1:
                    break
        number, phrase = counts[-1]
        assert question.phrase == phrase
        assert number == 0 if question.premise == "absent" else number > 1
        near += len(counts) > 1
    assert near > 10, "some fail after a phrase that holds"


def test_a_lone_object_is_absent_but_never_ambiguous():
    lone = make_scene([SceneObject("cube", "red", "large", "metal", (0.0, 0.0, 0.7))])
    made = list(generate_questions([make_scene([]), lone], TEMPLATES, 6, 0, 1.0))
    assert {question.premise for question in made} == {"absent"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--false-premises", "1.5"],
        ["--false-premises", "nan"],
        ["--false-premises", "0.5", "--families", "zero_hop:0"],
        ["--per-image", "0"],
        ["--per-image", "-3"],
        ["--families", "four_hop"],
        ["--templates", "no/such/folder"],
        ["--scenes", "no_such_file.json"],
        ["--out", "scenes.json"],
        ["--scenes", "broken.json"],
    ],
)
def test_a_mistake_is_named_and_leaves_nothing(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    write_scenes("scenes.json", numbered(random_scenes(2)))
    (tmp_path / "broken.json").write_text((tmp_path / "scenes.json").read_text()[:-40])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["data", "questions", "--scenes", "scenes.json", "--out", "questions.json", *arguments]) == 2
    captured = capsys.readouterr()
    assert "vqa: " in captured.err
    assert captured.out == ""
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_scenes_that_allow_no_question_are_refused(tmp_path):
    write_scenes(tmp_path / "scenes.json", numbered([make_scene([])]))
    with pytest.raises(InputError, match="no scene allows a question"):
        make_question_file(tmp_path / "scenes.json", tmp_path / "out.json", load_templates(families=["three_hop"]))
    assert not (tmp_path / "out.json").exists()
