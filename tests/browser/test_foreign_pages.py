"""A real Chromium opens a page of another origin, which has it send forms and requests to Orthanc's routes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page

from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_fixtures import derive, settings
from waiting import soon

USERS = {"anna": "the-password"}

#: A verdict as a form with ``enctype="text/plain"`` sends it: name, "=", value.
VERDICT = {"Verdict": "Accept", "User": "eve", "Reason": "="}
NAME, VALUE = json.dumps(VERDICT).split("=")

FORM = """([url, type, name, value]) => {
    const form = Object.assign(document.createElement("form"), { method: "POST", action: url, enctype: type });
    const input = Object.assign(document.createElement("input"), { name, value });
    form.append(input);
    document.body.append(form);
    form.submit();
}"""
FETCH = """async ([url, type, body, mode]) => {
    const options = { method: "POST", mode, credentials: "include", headers: { "Content-Type": type }, body };
    return fetch(url, options).then(answer => answer.status, error => String(error));
}"""

#: As one part of a form whose headers are the page's to choose.
PART = (
    "--x\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nContent-Type: application/json\r\n\r\n"
    + json.dumps(VERDICT)
    + "\r\n--x--\r\n"
)
BODIES = {
    "text/plain": json.dumps(VERDICT),
    "application/x-www-form-urlencoded": json.dumps(VERDICT),
    "multipart/form-data; boundary=x": PART,
}
TYPES = [kind.partition(";")[0] for kind in BODIES]


class Nothing(BaseHTTPRequestHandler):
    """Answers an empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><body></body>")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def foreign() -> Iterator[int]:
    """The port of a server of other pages."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as web_server:
        threading.Thread(target=web_server.serve_forever, args=[0.01], daemon=True).start()
        yield web_server.server_address[1]
        web_server.shutdown()


@pytest.fixture(scope="module", params=[False, True], ids=["open", "with authentication"])
def server(
    request: pytest.FixtureRequest, orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("pages")
    keys = settings(folder / "library")
    if request.param:
        keys |= {"AuthenticationEnabled": True, "RegisteredUsers": USERS}
    with OrthancServer(folder, keys) as orthanc:
        yield orthanc


@pytest.fixture(scope="module")
def derived(server: OrthancServer) -> str:
    return str(derive(server, server.upload(ct_phantom(slices=3)), Pipeline="plain")["ID"])


@pytest.fixture
def page(browser: Browser, server: OrthancServer) -> Iterator[Page]:
    """A page of a person who is logged in to Orthanc."""
    context = browser.new_context()
    if server.config["AuthenticationEnabled"]:
        context.set_extra_http_headers(
            {
                "Authorization": requests.Request("GET", server.url, auth=("anna", USERS["anna"]))
                .prepare()
                .headers["Authorization"]
            }
        )
    try:
        yield context.new_page()
    finally:
        context.close()


def verdict(server: OrthancServer, derived: str) -> str:
    return str(server.json(f"/series/{derived}/review")["State"])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["cross-site", "same-site"])
def test_forms_and_requests_of_foreign_pages_change_nothing(
    page: Page, server: OrthancServer, derived: str, foreign: int, host: str
) -> None:
    address = f"{server.url}/series/{derived}/review"
    for kind in TYPES:
        other = page.context.new_page()  # it leaves for what it is answered
        other.goto(f"http://{host}:{foreign}/")
        with other.expect_response(address) as answered:
            other.evaluate(FORM, [address, kind, NAME, VALUE])
        assert answered.value.status == 403, kind
        assert verdict(server, derived) == "Unreviewed", kind
    page.goto(f"http://{host}:{foreign}/")
    for kind, body in BODIES.items():
        with page.expect_response(address) as answered:
            page.evaluate(FETCH, [address, kind, body, "no-cors"])
        assert answered.value.status == 403, kind
        assert verdict(server, derived) == "Unreviewed", kind


def test_pages_of_orthanc_and_programs_are_answered_as_before(page: Page, server: OrthancServer, derived: str) -> None:
    """The same requests: what was refused above was refused for where it came from."""
    page.goto(f"{server.url}/derived-series/")
    simulate = f"{server.url}/derived-series/rules/simulate"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        assert page.evaluate(FETCH, [simulate, kind, "{}", "same-origin"]) == 200
        assert (
            server.post("/derived-series/rules/simulate", data="{}", headers={"Content-Type": kind}).status_code == 200
        )
    assert page.evaluate(FETCH, [f"{server.url}/series/{derived}/review", "text/plain", "{", "same-origin"]) == 400


def test_a_form_of_several_parts_is_refused_and_the_log_says_what_to_send(
    server: OrthancServer, derived: str, tmp_path: Path
) -> None:
    """As curl -F and requests send files: Orthanc would answer 200 and nothing else, whatever became of it."""
    path = f"/series/{derived}/derive/ct/numpy"
    before = server.series_ids()
    answer = server.post(path, files={"file": ("x.npy", b"\x93NUMPY")})
    assert answer.status_code == 403
    assert server.series_ids() == before
    soon(lambda: f"sent to {path}" in server.log(), "the log, which is written beside the answer, does not say so")
    assert "--data-binary" in server.log()
    assert server.post("/instances", files={"file": b"no DICOM file"}).status_code != 403, "Orthanc's own are its own"


def test_a_name_that_was_rebound_is_refused(server: OrthancServer, derived: str) -> None:
    headers = {"Host": f"evil.example:{server.config['HttpPort']}"}
    for answer in (
        server.get("/derived-series/status", headers=headers),
        server.get(f"/series/{derived}/provenance", headers=headers),
        server.post(f"/series/{derived}/review", headers=headers, json=VERDICT),
    ):
        assert answer.status_code == 403 and "evil.example" in answer.json()["Message"]
        assert "AllowedHosts" in answer.json()["Remedy"]
    name = f"localhost:{server.config['HttpPort']}"
    assert server.get("/derived-series/status", headers={"Host": name}).status_code == 200
