"""The form of log lines, ours and the libraries'."""

from __future__ import annotations

import io
import json
import logging

import pytest

from novate import logs


@pytest.fixture
def stream():
    """Where lines go; the process's own logging is put back after."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield io.StringIO()
    logs.configure()
    root.handlers[:], _ = before
    root.setLevel(before[1])
    logging.captureWarnings(False)


def test_a_json_line_has_time_level_stage_and_event_first(stream):
    logs.configure("info", "json", stream)
    logs.get("journal", partition=0).info("segment opened", first_seq=1)
    line = json.loads(stream.getvalue())
    assert list(line) == ["time", "level", "stage", "event", "partition", "first_seq"]
    assert line["time"].endswith("Z")
    assert (line["stage"], line["event"], line["first_seq"]) == ("journal", "segment opened", 1)


def test_lines_under_the_level_are_not_written(stream):
    logs.configure("warning", "json", stream)
    logs.get("journal").info("segment opened")
    logging.getLogger("uvicorn.error").info("started")
    assert stream.getvalue() == ""


def test_a_librarys_line_has_the_same_form(stream):
    logs.configure("info", "json", stream)
    logging.getLogger("uvicorn.error").warning("late by %d s", 3)
    line = json.loads(stream.getvalue())
    assert (line["stage"], line["event"], line["level"]) == (
        "uvicorn.error",
        "late by 3 s",
        "warning",
    )


def test_an_exception_is_told_without_local_values(stream):
    logs.configure("info", "json", stream)
    secret = "x" * 10
    try:
        raise ValueError(len(secret))
    except ValueError:
        logs.get("gateway").exception("request failed")
    line = json.loads(stream.getvalue())
    assert line["exception"][0]["exc_type"] == "ValueError"
    assert secret not in stream.getvalue()


def test_auto_is_json_where_nobody_looks(stream):
    logs.configure("info", "auto", stream)
    logs.get("engine").info("ready")
    assert json.loads(stream.getvalue())["event"] == "ready"


def test_console_lines_are_for_reading(stream):
    logs.configure("info", "console", stream)
    logs.get("engine").info("ready", orders=3)
    assert "ready" in stream.getvalue()
    assert "orders=3" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_many_lines_are_written_together_in_the_same_form(stream):
    logs.configure("info", "json", stream)
    due = []
    lines = logs.lines("orders", due.append)
    lines.info("submitted", seq=1, price="70000.5")
    lines.info("matched", seq=1)
    assert stream.getvalue() == ""
    assert len(due) == 1
    due.pop()()
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert list(first) == ["time", "level", "stage", "event", "seq", "price"]
    assert (second["stage"], second["event"], second["level"]) == ("orders", "matched", "info")


def test_an_error_comes_behind_the_lines_that_wait(stream):
    logs.configure("info", "json", stream)
    lines = logs.lines("orders", lambda flush: None)
    lines.info("submitted", seq=1)
    lines.error("error", seq=2)
    assert [json.loads(line)["seq"] for line in stream.getvalue().splitlines()] == [1, 2]


def test_lines_for_a_person_go_the_ordinary_way(stream):
    logs.configure("info", "console", stream)
    logs.lines("orders", lambda flush: None).info("submitted", seq=1)
    assert "submitted" in stream.getvalue()
