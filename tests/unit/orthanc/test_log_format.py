"""Lines of the log: each says which job it belongs to, as text and as JSON."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from derived_series.jobs.about_job import about_job
from derived_series.orthanc.log_format import LOGGER, JsonLines, JsonLog, TextLines
from route_client import RouteClient

JOB = "5c0b7f0a-3a52-4c0c-9b0e-7c1a0f1f6d42"


def record(message: str, **extra: object) -> logging.LogRecord:
    made_by = logging.getLogger("derived_series.jobs.test")
    return made_by.makeRecord(made_by.name, logging.WARNING, "file", 1, message, (), None, extra=extra)


def test_a_line_says_once_which_job_it_belongs_to() -> None:
    lines = TextLines()
    assert lines.format(record("hello")) == "derived-series: hello"
    assert lines.format(record("hello", job=JOB)) == f"derived-series: job {JOB}: hello"
    assert lines.format(record(f"the job {JOB} ends", job=JOB)) == f"derived-series: the job {JOB} ends"
    with about_job(JOB):
        assert lines.format(record("hello")) == f"derived-series: job {JOB}: hello"
        with about_job("another"):
            assert lines.format(record("hello")) == "derived-series: job another: hello"
    with about_job(""):
        assert lines.format(record("hello")) == "derived-series: hello"


def test_a_json_line_is_one_line_whatever_it_says() -> None:
    lines = JsonLines()
    text = lines.format(record('a "quote"\nand \0 and \ud800 and \u2028', job=JOB, worker=77))
    assert "\n" not in text and text.isascii()
    line = json.loads(text)
    assert line["Message"] == 'a "quote"\nand \0 and \ud800 and \u2028'
    assert (line["Job"], line["Level"], line["Process"]) == (JOB, "WARNING", 77)
    assert line["Logger"] == "derived_series.jobs.test" and line["Time"].endswith("+00:00")
    assert json.loads(lines.format(record("hello")))["Job"] is None


def test_a_trace_is_told_too() -> None:
    try:
        raise ValueError("the moon")
    except ValueError:
        failed = record("it fails")
        failed.exc_info = sys.exc_info()
    line = json.loads(JsonLines().format(failed))
    assert line["Message"] == "it fails" and "ValueError: the moon" in line["Trace"]


def test_the_file_has_so_much_room(tmp_path: Path) -> None:
    log = JsonLog(tmp_path / "log.jsonl", 50_000)
    try:
        for number in range(300):
            logging.getLogger("derived_series.jobs.test").warning("%d %s", number, "x" * 200)
    finally:
        log.close()
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["log.jsonl", *(f"log.jsonl.{number}" for number in range(1, 5))]
    assert sum(path.stat().st_size for path in files) <= 50_000
    assert json.loads(files[0].read_text().splitlines()[-1])["Message"].startswith("299 ")
    assert not any(handler for handler in logging.getLogger(LOGGER).handlers if "log.jsonl" in str(handler))


def test_a_disk_that_does_not_take_it_costs_nothing_else(tmp_path: Path) -> None:
    log = JsonLog(tmp_path / "nowhere" / "log.jsonl", 1000)
    try:
        logging.getLogger("derived_series.jobs.test").warning("hello")
    finally:
        log.close()


def test_the_setting_has_it_written(tmp_path: Path) -> None:
    client = RouteClient(tmp_path, BlueprintFolders=[], Workers=1, LogFormat="json")
    try:
        logging.getLogger("derived_series.jobs.test").warning("hello", extra={"job": JOB})
    finally:
        client.gateway.end()
    lines = (tmp_path / "storage" / "derived-series" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["Job"] for line in lines if json.loads(line)["Message"] == "hello"] == [JOB]
