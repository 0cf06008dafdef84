"""The groups that questions fall into, and the names that prediction files know them by."""

import numpy as np

from vqa.clevr.annotations import write_questions
from vqa.clevr.dataset.loading import open_data
from vqa.clevr.question import Question
from vqa.evaluation.breakdowns import OTHERS, count_words, question_keys, read_table


def groups(table, key):
    part = table.breakdowns[key]
    return dict(zip(part.labels, part.members.sum(0).tolist(), strict=True))


def test_breakdowns_by_hand(clevr_folder):
    table = read_table(open_data(clevr_folder, "val"))
    assert len(table.answers) == 20
    assert table.programs == {"stored": 20, "parsed": 0, "none": 0}
    assert groups(table, "type") == dict.fromkeys(
        ("count", "exist", "compare integer", "query attribute", "compare attribute"), 4
    )
    assert groups(table, "form") == {"some_form": 20}
    assert groups(table, "family") == {f"some_form.json:{i}": 4 for i in range(5)}
    assert groups(table, "length") == {"2": 4, "4": 4, "7": 8, "9": 4}
    assert groups(table, "objects") == {"1": 5, "2": 15}
    assert groups(table, "asked") == {"size": 4, "color": 4}
    assert groups(table, "mentioned") == {"size": 4, "material": 4, "shape": 16}
    assert groups(table, "value") == {"left": 4, "cube": 16, "sphere": 8, "small": 4, "metal": 4}
    assert groups(table, "answer") == {"2": 4, "yes": 4, "no": 8, "red": 4}
    of_first = table.breakdowns["asked"].members[np.array(table.answers) == "red"]
    assert of_first.tolist() == [[False, True]] * 4


def test_programs_are_read_from_the_wording_where_none_is_stored(clevr_folder):
    table = read_table(open_data(clevr_folder, "human"))
    assert table.unanswered == 1
    assert table.programs == {"stored": 0, "parsed": 1, "none": 4}
    assert groups(table, "type") == {"query attribute": 1, "other": 4}
    assert groups(table, "length") == {"4": 1}
    assert groups(table, "objects") == groups(table, "family") == {}


def test_keys_are_the_files_own_or_places(clevr_folder):
    data = open_data(clevr_folder, "val")
    keys = question_keys(data)
    assert sorted(keys.tolist()) == list(range(100, 120))
    assert [data.question(n).question_index for n in range(20)] == keys.tolist()
    human = open_data(clevr_folder, "human")
    texts = {key: human.question(n).question for n, key in enumerate(question_keys(human).tolist())}
    assert texts[0] == "What color is the cube?"
    assert texts[5] == "How many things are there?"


def test_keys_that_repeat_name_nothing(clevr_folder, tmp_path):
    path = tmp_path / "twice.json"
    repeated = [Question("How many things are there?", "2", None, "CLEVR_val_000000.png", question_index=7)] * 3
    write_questions(path, repeated)
    assert question_keys(open_data(clevr_folder, "val", questions=path)).tolist() == [0, 1, 2]


def test_unknown_words_are_counted(clevr_folder):
    data = open_data(clevr_folder, "human")
    found = count_words(data, range(len(data.answers)), {"glorbish", "dull", "何色", "absent"})
    assert found == (2, {"dull": 1, "glorbish": 1, "何色": 1})
    assert count_words(data, range(len(data.answers)), {"absent"}) == (0, {})


def test_rare_groups_of_a_breakdown_with_very_many_share_one(clevr_folder, tmp_path):
    path = tmp_path / "many.json"
    many = [
        Question("Is it?", f"answer {i if i > 4 else 0}", None, "CLEVR_val_000000.png", question_index=i)
        for i in range(1000)
    ]
    write_questions(path, many)
    found = groups(read_table(open_data(clevr_folder, "val", questions=path)), "answer")
    assert len(found) == 301
    assert found["answer 0"] == 5
    assert sum(found.values()) == 1000
    assert found[OTHERS] == 1000 - 5 - 299
