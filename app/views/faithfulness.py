"""Do the channels matter? What `vqa explain faithfulness` measured, as HTML."""

from app.views.render import render
from vqa.explain.faithfulness import RANKINGS
from vqa.explain.faithfulness_report import FaithfulnessReport


def faithfulness_card(report: FaithfulnessReport) -> str:
    """Accuracy as gates stop following the question, and as the channels go that a ranking calls important."""
    gates = [("As it is", report.accuracy), *((row.test, row.accuracy) for row in report.gates)]
    return render("faithfulness", report=report, gates=gates, rankings=RANKINGS)
