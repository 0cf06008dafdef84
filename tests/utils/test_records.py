"""Dataclasses from JSON: what is wrong is named."""

from dataclasses import dataclass
from typing import Annotated

import pytest
from pydantic import Field

from vqa.errors import InputError
from vqa.utils.records import LEFT_OUT_IF_NONE, Count, Share, from_json, to_json


@dataclass
class Row:
    images: Annotated[Count, Field(alias="pictures")]
    share: Share


@dataclass
class Table:
    rows: list[Row]
    note: Annotated[str | None, LEFT_OUT_IF_NONE] = None


def test_there_and_back() -> None:
    table = Table([Row(3, 0.12345678)])
    assert to_json(table) == {"rows": [{"pictures": 3, "share": 0.123457}]}
    assert from_json(Table, b'{"rows": [{"pictures": 3, "share": 1, "more": 0}]}', "x") == Table([Row(3, 1.0)])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"rows": [{"pictures": 3, "share": 2}]}', r"x\.json: rows\[0\]\.share: .* less than or equal to 1"),
        ('{"rows": [{"pictures": 3, "share": NaN}]}', r"rows\[0\]\.share"),
        ('{"rows": [{"pictures": "3", "share": 0}]}', r"rows\[0\]\.pictures: .* valid integer"),
        ('{"rows": [{"share": 0}]}', r"rows\[0\]\.pictures: Field required"),
        ("[" * 100_000, "Invalid JSON"),
        ("null", "object"),
    ],
)
def test_the_wrong_field_is_named(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        from_json(Table, text.encode(), "x.json")
