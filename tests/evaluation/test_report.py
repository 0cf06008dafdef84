"""What a report says about answers that are known."""

import json

import numpy as np
import pytest

from vqa.clevr.dataset.loading import open_data
from vqa.evaluation.breakdowns import read_table
from vqa.evaluation.metrics import wilson_interval
from vqa.evaluation.predictions import Predictions
from vqa.evaluation.report_text import format_report
from vqa.evaluation.scoring import ModelPredictions, make_report
from vqa.utils.records import to_json


@pytest.fixture
def table(clevr_folder):
    return read_table(open_data(clevr_folder, "val"))


def answering(name, table, wrong=(), sure=1.0, **more):
    """Right but for the question numbers `wrong`."""
    answers = [{"2": "3"}.get(a, "blue") if i in wrong else a for i, a in enumerate(table.answers)]
    return ModelPredictions(name, Predictions(answers, np.full(len(answers), sure)), **more)


def report_on(table, *models, **options):
    return make_report([({"name": "set"}, table, models)], **options)


def json_on(table, *models, **options):
    return to_json(report_on(table, *models, **options))


def rows(model, key):
    return {row["label"]: (row["value"], row["questions"]) for row in model["breakdowns"][key]}


def test_a_model_that_is_always_right(table):
    report = json_on(table, answering("right", table))
    (entry,) = report["sets"]
    (model,) = entry["models"]
    low, high = wilson_interval(1, 4)
    assert model["overall"] == {"value": 1, "low": round(low, 6), "high": high, "questions": 20, "pictures": 4}
    assert all(value == 1 for key in model["breakdowns"] for value, _ in rows(model, key).values())
    assert model["calibration"]["error"] == 0
    assert np.array(model["counts"]["matrix"])[2].tolist() == [0, 0, 4] + [0] * 9
    assert model["counts"]["mean_error"] == 0
    assert model["missing"] == model["surplus"] == model["foreign_answers"]["questions"] == 0
    assert json.loads(json.dumps(report)) == report


def test_every_wrong_answer_is_found_in_its_groups(table):
    counts = [i for i, answer in enumerate(table.answers) if answer == "2"]
    (entry,) = json_on(table, answering("wrong on counts", table, counts, sure=0.5))["sets"]
    model = entry["models"][0]
    assert model["overall"]["value"] == 0.8
    assert rows(model, "type") == {
        "count": (0, 4),
        "exist": (1, 4),
        "compare integer": (1, 4),
        "query attribute": (1, 4),
        "compare attribute": (1, 4),
    }
    assert rows(model, "objects") == {"1": (0.8, 5), "2": (0.8, 15)}
    assert rows(model, "length")["2"] == (0, 4)
    assert np.array(model["counts"]["matrix"])[2, 3] == 4
    assert model["counts"]["mean_error"] == 1
    assert model["calibration"]["error"] == pytest.approx(0.3)


def test_models_are_compared_in_pairs(table):
    models = [answering("a", table), answering("b", table, [0]), answering("c", table, [0, 1, 2])]
    (entry,) = json_on(table, *models)["sets"]
    found = {(item["first"], item["second"]): item for item in entry["comparisons"]}
    assert {pair: (item["only_first"], item["only_second"]) for pair, item in found.items()} == {
        ("a", "b"): (1, 0),
        ("a", "c"): (3, 0),
        ("b", "c"): (2, 0),
    }
    assert found["a", "c"]["value"] == pytest.approx(3 / 20)
    by_type = found["a", "c"]["by_type"]
    assert sum(item["only_first"] for item in by_type) == 3
    assert sum(item["questions"] for item in by_type) == 20


def test_what_is_missing_or_invalid_is_reported(clevr_folder):
    table = read_table(open_data(clevr_folder, "human"))
    answers = [None, "shiny", "red", "purple-ish", "no"]
    given = Predictions(answers, np.full(5, np.nan), surplus=3)
    unknown = frozenset({"glorbish"})
    report = report_on(
        table, ModelPredictions("odd", given, {"kind": "predictions"}, frozenset({"red", "yes"}), unknown)
    )
    (entry,) = to_json(report)["sets"]
    model = entry["models"][0]
    assert entry["unanswered"] == 1
    assert entry["unknown_answers"] == {"questions": 2, "answers": {"42": 1, "shiny": 1}}
    assert set(entry["unknown_words"]["words"]) >= {"glorbish", "dull", "何色"}
    assert model["kind"] == "predictions"
    assert (model["missing"], model["surplus"]) == (1, 3)
    assert model["foreign_answers"] == {"questions": 2, "answers": {"purple-ish": 1, "shiny": 1}}
    assert model["unknown_answers"] == {"questions": 3, "answers": {"42": 1, "no": 1, "shiny": 1}}
    assert model["unknown_words"] == {"questions": 1, "words": {"glorbish": 1}}
    assert model["calibration"] is None
    assert model["overall"]["questions"] == 5
    assert model["overall"]["value"] == sum(a == b for a, b in zip(answers, table.answers, strict=True)) / 5
    text = format_report(report, ["type", "length", "family", "objects"])
    for said in (
        "1 question without an answer left out",
        "glorbish (1)",
        "42 (1)",
        "purple-ish (1)",
        "1 question without a prediction counted as wrong",
        "3 predictions about no question",
        "1 programs read from the wording; 4 of 5 questions without a program left out",
        "5 of 5 questions without a scene left out",
        "from the wording",
    ):
        assert said in text


def test_the_same_seed_gives_the_same_report(table):
    models = [answering("a", table, [1, 5]), answering("b", table, [2, 3, 9])]
    one, same, other = (json_on(table, *models, samples=100, seed=seed) for seed in (3, 3, 4))
    assert json.dumps(one) == json.dumps(same)
    assert one["sets"][0]["comparisons"] != other["sets"][0]["comparisons"]


def test_a_table_with_hostile_names_stays_a_table(table):
    text = format_report(report_on(table, answering("\x1b[31m" + "x" * 200, table)))
    assert "\x1b" not in text
    assert max(map(len, text.splitlines()[2:])) <= 80
