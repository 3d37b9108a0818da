"""The plugin's static files: which are served, and under which headers."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from derived_series.errors import NotFound
from derived_series.orthanc.routes.pages import FOLDER, HEADERS, Pages
from orthanc_server import OrthancServer


def test_files_are_served_with_strict_headers(orthanc: OrthancServer) -> None:
    for name, kind in (
        ("shared/base.css", "text/css"),
        ("review/review.js", "text/javascript"),
        ("review/review.html", "text/html"),
    ):
        answer = orthanc.get(f"/derived-series/app/{name}")
        assert answer.status_code == 200 and answer.content == (FOLDER / name).read_bytes()
        assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert {key: answer.headers[key] for key in HEADERS} == HEADERS
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'self'" in policy and "http" not in policy
    page = orthanc.get("/derived-series/review/anything")
    assert page.content == (FOLDER / "review" / "review.html").read_bytes() and page.headers.items() >= HEADERS.items()


@pytest.mark.parametrize(
    "name",
    [
        "review.js",
        "review/nothing.js",
        "nothing/review.js",
        "..%2f..%2fmain.py",
        "%2e%2e%2f%2e%2e",
    ],
)
def test_nothing_else_is_served(orthanc: OrthancServer, name: str) -> None:
    answer = orthanc.get(f"/derived-series/app/{name}")
    assert answer.status_code == 404


def test_a_path_that_climbs_is_not_followed(orthanc: OrthancServer) -> None:
    """As it is written: clients resolve the dots before they send it."""
    with socket.create_connection(("127.0.0.1", orthanc.config["HttpPort"]), timeout=20) as connection:
        connection.sendall(b"GET /derived-series/app/review/../../../main.py HTTP/1.0\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert b" 404 " in answer.splitlines()[0] and b"import" not in answer


def test_only_files_of_known_kinds_are_listed(tmp_path: Path) -> None:
    (tmp_path / "page" / "folder.js").mkdir(parents=True)
    for name in ("page/page.html", "page/notes.txt", "page/code.py", "page.html"):
        (tmp_path / name).write_text(name)
    with pytest.raises(NotFound, match="no file 'page/code.py'") as caught:
        Pages({}, tmp_path).page("page/code.py")
    assert caught.value.remedy == "its files are page/page.html"


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.html")), ids=lambda path: path.name)
def test_pages_hold_no_inline_code_and_no_foreign_address(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:", text)
    assert all(
        not address.startswith(("http:", "https:", "/")) for address in re.findall(r'(?:src|href)="([^"]*)"', text)
    )


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.js")), ids=lambda path: path.name)
def test_scripts_write_text_and_never_markup(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://", text
    )


def test_one_module_alone_asks_the_server() -> None:
    """What a busy server, an error and a remedy are is said in one place."""
    asking = [
        path.relative_to(FOLDER).as_posix()
        for path in FOLDER.rglob("*.js")
        if re.search(r"\bfetch\(", path.read_text())
    ]
    assert asking == ["shared/server.js"]
