"""Reports on the page, the hostile ones too."""

import json
import re

import pytest

from app.tabs.results import MAX_BYTES, find_reports, overview, read_report, report_frame
from vqa.errors import InputError
from vqa.utils.resources import shipped

RESULTS = shipped("checkpoints/film-qcse-clevr") / "results"
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


def report():
    made = (json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json")))
    return next(one for one in made if one["format"] == "vqa-evaluation-1")


def every(value, path=()):
    """The places of all leaves."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None or not value:
        yield path
        return
    for key, item in list(items)[:3]:
        yield from every(item, (*path, key))


def put(made, path, value):
    made = json.loads(json.dumps(made))
    inside = made
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return made


def test_shipped_reports_are_found_and_shown():
    reports = find_reports([RESULTS, RESULTS / "none"])
    assert reports
    table = overview(reports)
    assert "accuracy, %" in table
    for name, path in reports.items():
        assert name.startswith("film-qcse-clevr: ")
        assert "<iframe" in report_frame(path)
    assert re.search(r"\d\d\.\d \[\d\d\.\d, \d\d\.\d\]", table)


def test_no_reports_say_how_to_make_them():
    assert "vqa evaluate --data DIR --json FILE" in overview({})


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b"null", b"[]", b"{}", b'{"format": "vqa-evaluation-1"}', b"\xff\xfe", b"9" * 5000],
)
def test_files_that_are_no_reports(tmp_path, content):
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    assert "odd.json" in report_frame(path)
    assert 'role="alert"' in report_frame(path)
    assert "odd.json" in overview({"odd": path})


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "large.json"
    path.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(InputError, match="larger than"):
        read_report(path)


@pytest.mark.parametrize("value", [EVIL, None, [], {}, -1, 1e308, "9" * 400, [EVIL]])
def test_hostile_values_anywhere_show_as_text_or_as_damage(tmp_path, value):
    made = report()
    path = tmp_path / "hostile.json"
    for place in every(made):
        path.write_text(json.dumps(put(made, place, value)))
        for shown in (report_frame(path), overview({"hostile": path})):
            assert "<script" not in shown
            assert "<img src=x" not in shown
        frame = report_frame(path)
        if "srcdoc" in frame:
            assert "&lt;script&gt;alert" not in frame
            assert "sandbox title" in frame
