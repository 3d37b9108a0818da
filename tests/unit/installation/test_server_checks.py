"""What the doctor makes of a server's answers; a table stands in for Orthanc."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from derived_series.__main__ import main
from derived_series.installation import commands
from derived_series.installation.checks_of_server import STATUS, Server, check_server
from derived_series.installation.finding import Finding
from derived_series.software import version
from orthanc_folder import write_folder

Answers = dict[str, tuple[int, Any]]
DERIVE = "/series/00000000-00000000-00000000-00000000-00000000/derive"


def now(shift: timedelta = timedelta()) -> str:
    return (datetime.now(UTC) + shift).strftime("%Y%m%dT%H%M%S")


def sound() -> Answers:
    """What an Orthanc answers in which all is well."""
    status = {"Version": version(), "Deriving": True, "Problems": [], "Blueprints": ["ct"]}
    return {
        "/system": (200, {"ApiVersion": 20, "Version": "1.12.7"}),
        "/plugins": (200, ["dicom-web", "python"]),
        "/dicom-web/studies?limit=1": (200, []),
        STATUS: (200, status),
        DERIVE: (404, {"Message": "there is no series"}),
        "/tools/now": (200, now()),
    }


@contextmanager
def answering(answers: Answers) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content = answers.get(self.path, (404, {}))
            body = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield Server(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


def test_a_server_in_which_all_is_well() -> None:
    with answering(sound()) as server:
        assert check_server(server) == []


def _status(**changes: Any) -> tuple[int, Any]:
    return 200, {**sound()[STATUS][1], **changes}


#: What differs from a sound server's answers, the finding's name, and words of it.
BROKEN: dict[str, tuple[Answers, str, str]] = {
    "an old Orthanc": ({"/system": (200, {"ApiVersion": 9, "Version": "1.9.7"})}, "orthanc version", "Orthanc 1.9.7"),
    "one that stores nothing": (
        {"/system": (200, {"ApiVersion": 20, "Version": "1.12.7", "ReadOnly": True})},
        "read only",
        "nothing can be stored",
    ),
    "another server": ({"/system": (200, "<html>")}, "server", "is not Orthanc"),
    "a login": ({"/system": (401, "")}, "login", "asks for a name"),
    "no permission at all": ({"/system": (403, "")}, "authorization", "GET /system was answered 403"),
    "no permission for the status": ({STATUS: (403, "")}, "authorization", f"GET {STATUS} was answered 403"),
    "no permission to derive": ({DERIVE: (403, "")}, "authorization", "POST /series/{id}/derive was answered 403"),
    "no DICOMweb": ({"/plugins": (200, ["python"])}, "dicomweb", "has not loaded its DICOMweb plugin"),
    "DICOMweb elsewhere": ({"/dicom-web/studies?limit=1": (404, "")}, "dicomweb", "at another root"),
    "no Python": ({"/plugins": (200, ["dicom-web"])}, "python plugin", "has not loaded its Python plugin"),
    "the plugin is not loaded": ({STATUS: (404, {})}, "not loaded", "has not loaded this plugin"),
    "workers that end": (
        {STATUS: (500, {"Message": "crash.py ends the process", "Remedy": "take it out"})},
        "workers",
        "500: crash.py ends the process",
    ),
    "another version than is installed": ({STATUS: _status(Version="0.0.1")}, "plugin version", "runs version 0.0.1"),
    "a full disk": (
        {STATUS: _status(Deriving=False, Problems=[{"File": "/jobs", "Message": "the disk is full"}])},
        "deriving",
        "nothing is derived: the disk is full",
    ),
    "a rule whose jobs would fail": (
        {"/derived-series/rules": (200, [{"Name": "r", "Problems": ["there is no pipeline 'slwo'"]}])},
        "rules",
        "rule 'r': there is no pipeline 'slwo'",
    ),
    "a file that cannot be loaded": (
        {STATUS: _status(Problems=[{"File": "mine.py", "Message": "SyntaxError"}])},
        "files",
        "mine.py cannot be loaded: SyntaxError",
    ),
    "no blueprints": ({STATUS: _status(Blueprints=[])}, "blueprint folders", "has no blueprint"),
    "another time": ({"/tools/now": (200, now(timedelta(hours=-1)))}, "clock", "s apart"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_with_a_server_is_found_with_its_remedy(what: str) -> None:
    changes, name, words = BROKEN[what]
    with answering({**sound(), **changes}) as server:
        (finding,) = check_server(server)
    assert finding.name == name and words in finding.message and finding.remedy


def test_the_remedy_of_the_plugins_own_error_is_given() -> None:
    with answering({**sound(), STATUS: (503, {"Message": "not loaded yet", "Remedy": "try again"})}) as server:
        (finding,) = check_server(server)
    assert finding.remedy == "try again"


def test_the_certificates_of_the_settings_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And those of the option instead."""
    asked: list[Server] = []

    def noted(server: Server) -> list[Finding]:
        asked.append(server)
        return []

    monkeypatch.setattr(commands, "check_server", noted)
    folder = write_folder(tmp_path / "orthanc", {"a.json": {"DerivedSeries": {"CaBundle": "ca.pem"}}})
    for further in ([], ["--ca-bundle", "/etc/other.pem"]):
        main(["doctor", "--orthanc", str(folder), "--url", "https://pacs:8042", *further])
    assert [server.ca_bundle for server in asked] == [str(folder / "ca.pem"), "/etc/other.pem"]


def test_a_bundle_of_certificates_that_is_not_there_is_told() -> None:
    (finding,) = check_server(Server("https://127.0.0.1:1", ca_bundle="/nowhere/ca.pem"))
    assert finding.name == "server" and "/nowhere/ca.pem" in finding.message
