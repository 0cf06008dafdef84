"""The HTML page: all figures of the report, nothing from elsewhere, and no name that becomes markup."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from vqa.clevr.dataset.loading import open_data
from vqa.cli import main
from vqa.evaluation.breakdowns import BREAKDOWNS, read_table
from vqa.evaluation.metrics import Estimate
from vqa.evaluation.predictions import Predictions
from vqa.evaluation.report_html import html_report
from vqa.evaluation.scoring import ModelPredictions, make_report


class Page(HTMLParser):
    """Tags, what they point to, and the text of table cells."""

    def __init__(self, text):
        super().__init__()
        self.open, self.pointers, self.tags, self.cells = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.pointers += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in ("meta", "img", "path", "circle", "br", "link"):
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        if tag not in ("path", "circle"):
            assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        if {"td", "th"} & {*self.open}:
            self.cells[-1] += data


@pytest.fixture
def report(clevr_folder):
    tables = [read_table(open_data(clevr_folder, split)) for split in ("val", "human")]
    sets = []
    for table in tables:
        answers = table.answers
        models = [
            ModelPredictions(
                name, Predictions([a if i % n else "3" for i, a in enumerate(answers)], np.full(len(answers), p))
            )
            for name, n, p in (("good <script>alert(1)</script> $x^", 5, 0.75), ('_bad & "worse"', 2, np.nan))
        ]
        sets.append(({"name": f"{table.data.split} </title><img src=x>"}, table, models))
    return make_report(sets, command="vqa evaluate --data '<b>'", samples=100)


def test_page_is_sound_and_needs_nothing_else(report):
    page = Page(html_report(report))
    assert page.pointers
    assert all(pointer.startswith("data:image/svg+xml;base64,") for pointer in page.pointers)
    assert not {"script", "link", "iframe"} & {*page.tags}
    assert len(page.pointers) == page.tags.count("img")
    for pointer in page.pointers:
        drawing = ElementTree.fromstring(base64.b64decode(pointer.partition(",")[2]))
        assert drawing.tag.endswith("svg")


def test_every_figure_stands_on_the_page(report):
    text = html_report(report)
    cells = Page(text).cells
    for entry in report.sets:
        for model in entry.models:
            for row in [model.overall, *(row for key in BREAKDOWNS for row in model.groups(key))]:
                assert f"{100 * row.value:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]" in cells
    assert "4 of 5 questions without a program left out" in text
    assert text.count("expected calibration error: good") == 2


def test_intervals_are_drawn_where_they_lie(report):
    from vqa.evaluation.plots import intervals

    drawing = intervals([Estimate(0.5, 0.25, 1.0, 1, 1), Estimate(0.0, 0.0, 0.0, 1, 1)])
    lines = re.findall(r'd="M([\d.]+) \d+H([\d.]+)"', drawing)
    dots = re.findall(r'cx="([\d.]+)"', drawing)
    assert lines == [("68.0", "254.0"), ("6.0", "6.0")]
    assert dots == ["130.0", "6.0"]


def test_the_scale_widens_where_models_are_good():
    from vqa.evaluation.plots import axis, intervals, start

    good, few = Estimate(0.95, 0.9, 1.0, 100, 100), Estimate(0.5, 0.2, 0.8, 3, 3)
    assert start([[good, few]]) == 0.9
    assert start([[good], [replace(good, low=0.79)]]) == 0.5
    assert start([[few]]) == 0
    assert re.findall(r">([\d.]+)<", axis(0.9)) == ["90", "92.5", "95", "97.5", "100"]
    assert re.findall(r'cx="([\d.]+)"', intervals([good, few], 0.9)) == ["130.0", "6.0"]


def test_same_report_same_page(report):
    assert html_report(report) == html_report(report)


def test_command_writes_the_page(clevr_folder, tiny_checkpoint, tmp_path, capsys):
    out = tmp_path / "new" / "report.html"
    there = ["--data", str(clevr_folder), "--split", "val", "--checkpoint", str(tiny_checkpoint)]
    assert main(["evaluate", *there, "--html", str(out)]) == 0
    assert Page(Path(out).read_text()).tags.count("details") == len(BREAKDOWNS) - 1
    capsys.readouterr()
    assert main(["evaluate", *there, "--html", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
