"""Dataclasses to and from JSON, by pydantic: it checks types and ranges, and names the field that is wrong."""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import Field, PlainSerializer, TypeAdapter, ValidationError

from vqa.errors import InputError

T = TypeVar("T")

DIGITS = 6
Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[float, Field(allow_inf_nan=False), PlainSerializer(lambda value: round(value, DIGITS))]
Share = Annotated[Number, Field(ge=0, le=1)]
Change = Annotated[Number, Field(ge=-1, le=1)]
LEFT_OUT_IF_NONE = Field(exclude_if=lambda value: value is None)
"""Of a field whose key is absent, not null, without a value."""


def to_json(record: Any) -> dict[str, Any]:
    """A dataclass as plain JSON, under the keys that its fields' aliases say, `Number`s at six digits."""
    return _adapter(type(record)).dump_python(record, mode="json", by_alias=True)


def from_json(kind: type[T], text: bytes, source: object) -> T:
    """Read a dataclass, or one of a union, from JSON; keys that it has no field for are left aside.

    Raises InputError that begins with `source` and names the field, as in "x.json: sets[0].questions: ...".
    """
    try:
        return _adapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part:.40}" for part in first["loc"]).lstrip(".")
        raise InputError(": ".join(filter(None, (str(source), where, first["msg"])))) from error


_adapter: Callable[[Any], TypeAdapter] = cache(TypeAdapter)
