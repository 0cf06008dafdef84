"""Do the channels matter? What `vqa explain faithfulness` measured, as HTML."""

from collections.abc import Mapping
from typing import Any

from app.views.render import render
from vqa.explain.faithfulness import RANKINGS


def faithfulness_card(report: Mapping[str, Any]) -> str:
    """Accuracy as gates stop following the question, and as the channels go that a ranking calls important."""
    gates = [("As it is", report["accuracy"]), *((row["test"], row["accuracy"]) for row in report["gates"])]
    return render("faithfulness", report=report, gates=gates, rankings=RANKINGS)
