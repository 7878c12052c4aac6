"""Logs: one event name a fact, the service in every line of every thread, no local variables, quiet where asked."""

from __future__ import annotations

import json
import logging
import sys
import threading

import pytest

from pipeline import logs
from pipeline.config import LogSettings

PROMPT = "the text of a prompt"


def nothing_in(prompt: str) -> float:
    return len(prompt) / (len(prompt) - len(prompt))


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_every_thread_says_which_service_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(format="json"), service="ingest")
    thread = threading.Thread(target=lambda: logs.get("ingest").info("partitions_assigned", partitions=[0]))
    thread.start()
    thread.join()
    [line] = lines(capsys)
    assert (line["service"], line["event"], line["level"]) == ("ingest", "partitions_assigned", "info")


def test_what_a_library_says_is_one_event_told_apart_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(format="json"), service="worker")
    logging.getLogger("kafka.conn").warning("node %s is away", 3)
    logging.getLogger("kafka.conn").info("chatter")
    [line] = lines(capsys)
    assert line["event"] == logs.LIBRARY_EVENT
    assert (line["library"], line["message"], line["service"]) == ("kafka.conn", "node 3 is away", "worker")


def test_a_command_keeps_libraries_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(format="json"), service="cli", libraries=False)
    logging.getLogger("kafka.conn").error("Connection failed")
    assert lines(capsys) == []


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_variables(capsys: pytest.CaptureFixture[str], form: str) -> None:
    logs.configure(LogSettings.model_validate({"format": form}), service="serve")
    for log in (logs.get("serve").exception, logging.getLogger("aiohttp.server").exception):
        try:
            nothing_in(PROMPT)
        except ZeroDivisionError:
            log("request_failed")
    text = capsys.readouterr().err
    assert text.count("Traceback") == 2
    assert PROMPT not in text


def test_no_colour_where_none_is_wanted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logs.configure(LogSettings(), service="up")
    logs.get("supervise").info("child_started")
    assert "\x1b[" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    logs.configure(LogSettings(), service="up")
    logs.get("supervise").info("child_started")
    plain = capsys.readouterr().err
    assert "child_started" in plain
    assert "\x1b[" not in plain
