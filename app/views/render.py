"""Jinja2 templates for the views: whatever is put into them is escaped, unless it is markup already."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from vqa.explain.drawing import data_uri
from vqa.utils.tables import format_interval


def percent(p: float) -> str:
    """A probability for readers: "under 1 %", "42 %", "over 99 %"."""
    return "under 1 %" if p < 0.005 else "over 99 %" if p > 0.995 else f"{p:.0%}".replace("%", " %")


def number(value: float) -> str:
    """A weight in as few digits as it needs, at most two after the point."""
    return f"{value:z.2f}".rstrip("0").rstrip(".") if abs(value) < 10 else f"{value:.0f}"


def render(template: str, **values: Any) -> str:
    """The HTML of `templates/{template}.html`."""
    return _ENVIRONMENT.get_template(f"{template}.html").render(values)


_ENVIRONMENT = Environment(
    loader=PackageLoader("app.views"), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
)
_ENVIRONMENT.filters |= {"percent": percent, "number": number, "interval": format_interval, "data_uri": data_uri}
