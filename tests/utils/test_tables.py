"""Tables line up, and nothing in a cell breaks them."""

from vqa.evaluation.metrics import Estimate
from vqa.utils.tables import format_interval, format_percent, markdown_table, text_table


def test_intervals_of_objects_and_of_json() -> None:
    assert format_interval(Estimate(0.9716, 0.9656, 0.97741, 5000, 500)) == "97.2 [96.6, 97.7]"
    assert format_interval({"value": 0.01, "low": -0.0001, "high": 0.02}, "+") == "+1.0 [+0.0, +2.0]"
    assert format_percent(None) == "-"


def test_text_columns_are_as_wide_as_their_cells() -> None:
    rows = [["name", "n"], "a line of its own, longer than all columns", ["b", "1,000"], ["cc", ""]]
    assert text_table(rows) == ["name      n", rows[1], "b     1,000", "cc"]


def test_markdown_cells_hold_any_text() -> None:
    escaped = ["| a | b |", "| --- | ---: |", "| x &#124; y | &lt;b&gt; |"]
    assert markdown_table(["a", "b"], [["x | y\n", "<b>"]]) == escaped
    padded = ["| a    | b    |", "| ---  | ---: |", "| long | 1    |"]
    assert markdown_table(["a", "b"], [["long", "1"]], padded=True) == padded
