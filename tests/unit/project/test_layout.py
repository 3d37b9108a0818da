"""Every test has its place: below unit/ without a server, in server/ with an Orthanc, in browser/ with a Chromium."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from orthanc_server import REPOSITORY

TESTS = REPOSITORY / "tests"
ROOMS = {path.stem for path in (REPOSITORY / "plugin" / "derived_series").iterdir()}
FILES = sorted(TESTS.rglob("test_*.py"))

#: What a test of a server or of a page has among its words: the fixtures of conftest.py and the class behind them.
SERVER = re.compile(r"\b(OrthancServer|StartOrthanc|orthanc_installed|start_orthanc|empty_orthanc)\b")
BROWSER = re.compile(r"\b(page: Page|browser: Browser)\b")


def place(path: Path) -> str:
    """The folder of a test below tests/."""
    return path.parent.relative_to(TESTS).as_posix()


def place_by_text(text: str) -> str:
    """Where a test belongs, by what it uses."""
    if BROWSER.search(text):
        return "browser"
    return "server" if SERVER.search(text) else "unit"


def test_unit_tests_are_by_room() -> None:
    folders = {place(path) for path in FILES if place(path).startswith("unit")}
    assert folders <= {f"unit/{room}" for room in ROOMS | {"project"}}, "tests/unit/ROOM/test_*.py"


def test_each_test_is_where_it_belongs() -> None:
    folders = {
        path.name: (place(path).partition("/")[0], place_by_text(path.read_text("utf-8")))
        for path in FILES
        if path != Path(__file__)
    }
    assert len(folders) > 150
    assert {name: f"belongs in {wanted}/" for name, (folder, wanted) in folders.items() if folder != wanted} == {}


def test_what_a_test_uses_is_seen() -> None:
    assert place_by_text("def test(page: Page, server: OrthancServer)") == "browser"
    assert place_by_text("def test(orthanc: OrthancServer)") == "server"
    assert place_by_text("from orthanc_server import REPOSITORY") == "unit"


def test_names_of_test_files_differ() -> None:
    """They are imported by their names alone."""
    assert [name for name, count in Counter(path.name for path in FILES).items() if count > 1] == [], "rename one"
