"""Do the channels matter? What `vqa explain faithfulness` measured, as HTML."""

from collections.abc import Mapping
from typing import Any

from vqa.explain.drawing import escape
from vqa.explain.faithfulness import RANKINGS


def faithfulness_card(report: Mapping[str, Any]) -> str:
    """Accuracy as gates stop following the question, and as the channels go that a ranking calls important."""
    gates = [("As it is", report["accuracy"]), *((row["test"], row["accuracy"]) for row in report["gates"])]
    bars = "".join(_bar(name[:1].upper() + name[1:], found) for name, found in gates)
    rows = "".join(map(_row, report["removal"]))
    return (
        '<section class="card depth faithful"><h2>Do gates and channels matter?</h2>'
        f"<p>Accuracy on {int(report['questions'])} questions as parts are changed, in %, with 95 % intervals: a part "
        "that matters costs answers when it goes.</p>"
        f"<ol>{bars}</ol>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Accuracy without channels"><table>'
        f"<caption>Without some channels of every block, of {int(report['channels_per_block'])}</caption>"
        '<thead><tr><th scope="col">ranked by</th><th scope="col">removed</th><th scope="col">set to</th>'
        '<th scope="col">the top</th><th scope="col" title="of like activation">random ones</th>'
        f'<th scope="col">the bottom</th></tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _bar(name: str, found: Mapping[str, float]) -> str:
    return (
        f'<li><span>{escape(name)}</span><span class="track"><i style="width:{float(found["value"]):.1%}"></i></span>'
        f"<span>{_interval(found)}</span></li>"
    )


def _row(row: Mapping[str, Any]) -> str:
    cells = "".join(f"<td>{_interval(row[name])}</td>" for name in ("top", "random", "bottom"))
    ranking = escape(RANKINGS.get(row["ranking"], str(row["ranking"])))
    about = f'<th scope="row">{ranking}</th><td>{int(row["channels"])}</td><td>{escape(str(row["removal"]))}</td>'
    return f"<tr>{about}{cells}</tr>"


def _interval(found: Mapping[str, float]) -> str:
    value, low, high = (100 * float(found[name]) for name in ("value", "low", "high"))
    return f"{value:.1f} <small>{low:.1f} to {high:.1f}</small>"
