"""A worker of another machine: which Orthanc it reaches, and what it says while it is at an attempt."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest

from derived_series.dicomweb.client import Client
from derived_series.errors import Conflict, StorageError
from derived_series.jobs.box import box as module
from derived_series.jobs.box.box import Box, Place
from derived_series.jobs.messages import Outcome
from derived_series.jobs.remote.bundle import Bundle
from derived_series.jobs.remote.errand import Errand
from derived_series.jobs.remote.wire import outcome_from_json
from derived_series.machines.certificates import make_certificates
from orthanc_server import free_port


class Ended(BaseHTTPRequestHandler):
    """An Orthanc of which every attempt has ended."""

    status, content = 410, b""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    do_POST = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Do nothing."""


@contextmanager
def orthanc_by_https(port: int, folder: Path, handler: type[Ended] = Ended) -> Iterator[None]:
    with HTTPServer(("127.0.0.1", port), handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_an_orthanc_that_is_not_reached_keeps_no_other_from_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLAIM_SECONDS", 0.0)
    monkeypatch.setattr(module, "_BEAT_SECONDS", 0.05)
    make_certificates(tmp_path, ["127.0.0.1"])
    ca = (tmp_path / "127.0.0.1" / "ca.pem").read_text()
    ports = free_port(), free_port()
    dead, other = (
        Errand(f"https://127.0.0.1:{port}", "/series/s/jobs/j", "ticket", ca, "/dicom-web", 1.0) for port in ports
    )
    box = Box("one", Place(tmp_path / "scratch"))
    with pytest.raises(StorageError, match="no answer"):
        box.run(dead.to_json())
    assert list(box.report()["Unreached"]) == [dead.url]
    with pytest.raises(StorageError, match=f"does not reach Orthanc at {dead.url}"):
        box.run(dead.to_json())
    with orthanc_by_https(ports[1], tmp_path / "127.0.0.1"):
        assert "not want" in box.run(other.to_json())
    assert list(box.report()["Unreached"]) == [dead.url]
    with orthanc_by_https(ports[0], tmp_path / "127.0.0.1"):
        end = time.monotonic() + 30
        while box.report()["Unreached"]:
            assert time.monotonic() < end, "it is back, and the worker does not see it"
            time.sleep(0.02)
        assert "not want" in box.run(dead.to_json())
    box.close()


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (401, b"", "compare the file of --credentials with RegisteredUsers"),
        (403, b"", "refuses the worker's user"),
        (404, b"<html>", "leads to something else than the Orthanc with the plugin"),
        (200, b"<html>", "not an answer of the plugin"),
        (200, b"{}", "not an answer of the plugin"),
        (302, b"", "not an answer of the plugin"),
    ],
)
def test_a_worker_that_orthanc_refuses_takes_no_more_of_its_jobs_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, content: bytes, words: str
) -> None:
    monkeypatch.setattr(module, "_BEAT_SECONDS", 30.0)
    make_certificates(tmp_path, ["127.0.0.1"])
    ca, port = (tmp_path / "127.0.0.1" / "ca.pem").read_text(), free_port()
    errand = Errand(f"https://127.0.0.1:{port}", "/series/s/jobs/j", "ticket", ca, "/dicom-web", 1.0)
    handler = type("Refusing", (Ended,), {"status": status, "content": content})
    box = Box("one", Place(tmp_path / "scratch", (("Authorization", "Basic SECRET"),)))
    with orthanc_by_https(port, tmp_path / "127.0.0.1", handler):
        for _ in range(2):  # told again, without asking
            with pytest.raises(StorageError, match=words) as refused:
                box.run(errand.to_json())
            assert refused.value.transient, "another worker may be taken"
            assert "SECRET" not in refused.value.message
    assert words in box.report()["Unreached"][errand.url]
    box.close()


def test_a_certificate_of_another_authority_is_told_of_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CLAIM_SECONDS", 0.0)
    monkeypatch.setattr(module, "_BEAT_SECONDS", 30.0)
    for authority in ("one", "other"):
        make_certificates(tmp_path / authority, ["127.0.0.1"])
    ca, port = (tmp_path / "other" / "127.0.0.1" / "ca.pem").read_text(), free_port()
    errand = Errand(f"https://127.0.0.1:{port}", "/series/s/jobs/j", "ticket", ca, "/dicom-web", 1.0)
    box = Box("one", Place(tmp_path / "scratch"))
    with (
        orthanc_by_https(port, tmp_path / "one" / "127.0.0.1"),
        pytest.raises(StorageError, match=r"its certificate is not trusted: .*CaBundle"),
    ):
        box.run(errand.to_json())
    assert "not trusted" in box.report()["Unreached"][errand.url]
    box.close()


def test_other_certificates_to_trust_are_tried_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"_CLAIM_SECONDS": 0.0, "_BEAT_SECONDS": 0.05, "_REFUSED_SECONDS": 0.1}.items():
        monkeypatch.setattr(module, name, seconds)
    for authority in ("one", "other"):
        make_certificates(tmp_path / authority, ["127.0.0.1"])
    port = free_port()
    wrong, right = (
        Errand(
            f"https://127.0.0.1:{port}",
            "/series/s/jobs/j",
            "ticket",
            (tmp_path / authority / "127.0.0.1" / "ca.pem").read_text(),
            "/dicom-web",
            1.0,
        )
        for authority in ("other", "one")
    )
    box = Box("one", Place(tmp_path / "scratch"))
    with orthanc_by_https(port, tmp_path / "one" / "127.0.0.1"):
        with pytest.raises(StorageError, match="not trusted"):
            box.run(wrong.to_json())
        end = time.monotonic() + 30
        while box.report()["Unreached"]:
            assert time.monotonic() < end, "it stays away for what an errand before has brought"
            time.sleep(0.02)
        assert "not want" in box.run(right.to_json())
    box.close()


# -- at an attempt -------------------------------------------------------------------------------------------------


@dataclass
class Asking:
    """An Orthanc that asks a worker to describe blueprint folders. :param url: empty until it serves."""

    bundle: Bundle
    on: dict[str, Callable[[], bytes | None]] = field(default_factory=dict)
    beat: threading.Event = field(default_factory=threading.Event)
    outcomes: list[Outcome] = field(default_factory=list)
    url: str = ""

    def answer(self, what: str, body: bytes, offset: int) -> bytes:
        """The answer to a request; ``on`` has what is done at each kind of them, and may answer in its place."""
        answer = self.on[what]() if what in self.on else None
        if what == "claim":
            claimed = {"Token": "t", "Bundle": self.bundle.digest, "IdleSeconds": 60, "LostAfter": 30}
            return answer or json.dumps(claimed).encode()
        if what == "attempt":
            self.beat.set()
        elif what == "outcome":
            self.outcomes.append(outcome_from_json(json.loads(body)))
        elif what == self.bundle.digest:
            return self.bundle.manifest
        elif answer is None:
            return self.bundle.part(what, offset)
        return answer or b"{}"

    @property
    def errand(self) -> str:
        return Errand(self.url, "/derived-series/environments/gpu", "ticket", None, "/dicom-web", 5.0).to_json()


class AskingHandler(BaseHTTPRequestHandler):
    asking: Asking

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, offset = self.path.partition("?offset=")
        content = self.asking.answer(path.rpartition("/")[2], body, int(offset or 0))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Do nothing."""


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "notes.txt").write_text("of the pipelines")
    asking = Asking(Bundle.of([str(tmp_path / "here")]))
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (AskingHandler,), {"asking": asking})) as server:
        asking.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield asking
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box("one", Place(tmp_path / "scratch"))
    yield box
    box.close()


def test_a_worker_that_fetches_blueprint_folders_says_that_it_is_there(
    asking: Asking, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have gigabytes of weights, and be fetched for longer than a worker may be silent."""
    monkeypatch.setattr(module, "_BEAT_SECONDS", 0.05)
    (file,) = asking.bundle.files.values()
    heard = []

    def slow() -> bytes:
        heard.append(asking.beat.wait(20))
        return file.path.read_bytes()

    asking.on[file.sha256] = slow
    box.run(asking.errand)
    assert heard == [True] and [each.error for each in asking.outcomes] == [None]


def waiting_file(asking: Asking, folder: Path) -> Path:
    """Have the description of the folders wait until a file is there. :return: that file."""
    go_on = folder / "go on"
    code = f"""
import time
from pathlib import Path
end = time.monotonic() + 20
while time.monotonic() < end and not Path({str(go_on)!r}).exists():
    time.sleep(0.01)
"""
    (folder / "here" / "waits.py").write_text(code)
    asking.bundle = Bundle.of([str(folder / "here")])
    return go_on


@pytest.mark.parametrize("at", ["claim", "file", "attempt"])
def test_an_attempt_of_a_worker_that_is_stopped_is_tried_again(
    asking: Asking, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setattr(module, "_BEAT_SECONDS", 0.05)
    box.run(asking.errand)  # the worker is warm
    waiting_file(asking, tmp_path)
    asked = (
        [each.sha256 for each in asking.bundle.files.values() if each.path.name == "waits.py"] if at == "file" else [at]
    )
    stopping = threading.Thread(target=box.close)

    def stop() -> None:
        if stopping.ident is None:
            stopping.start()
        assert box._closing.wait(20)
        end = time.monotonic() + 20
        while at == "file" and len(asking.outcomes) < 2:
            assert time.monotonic() < end, "Orthanc is told at once, not when all is fetched"
            time.sleep(0.01)

    asking.on.update(dict.fromkeys(asked, stop))
    box.run(asking.errand)
    stopping.join()
    error = asking.outcomes[1].error
    assert isinstance(error, StorageError) and error.transient and "was stopped" in error.message


def test_a_worker_that_is_being_stopped_asks_for_nothing(asking: Asking, box: Box) -> None:
    claims: list[None] = []
    asking.on["claim"] = lambda: claims.append(None)
    box.close()
    with pytest.raises(StorageError, match="was stopped") as refused:
        box.run(asking.errand)
    assert refused.value.transient and claims == []


def test_a_page_in_place_of_orthancs_answer_ends_nothing(
    asking: Asking, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy may answer in its place for a while, with a page that says so."""
    monkeypatch.setattr(module, "_BEAT_SECONDS", 0.05)
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.05)
    go_on = waiting_file(asking, tmp_path)
    answers = {kind: iter([b"<html>maintenance</html>", b"{}"]) for kind in ("attempt", "outcome")}

    def beat() -> bytes:
        answer = next(answers["attempt"], b"{}")
        if answer == b"{}":
            go_on.touch()
        return answer

    asking.on["attempt"] = beat
    asking.on["outcome"] = lambda: next(answers["outcome"])
    assert box.run(asking.errand) == "done"
    assert [each.error for each in asking.outcomes] == [None, None], "it is sent again until it is taken"


def test_work_that_nobody_watches_is_ended(
    asking: Asking, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BEAT_SECONDS", 0.05)
    waiting_file(asking, tmp_path)
    real = module._post

    def broken(client: Client, path: str, body: dict[str, object], **how: float) -> None:
        if path.endswith("/attempt") and box._ready is not None:
            raise ZeroDivisionError
        real(client, path, body, **how)

    monkeypatch.setattr(module, "_post", broken)
    with pytest.raises(ZeroDivisionError):
        box.run(asking.errand)
    assert box._ready is not None and box._ready.executor.idle == 1


def test_a_second_worker_of_one_name_leaves_the_files_of_the_first(tmp_path: Path) -> None:
    """dask refuses it only after its box is there."""
    first = Box("box/0", Place(tmp_path))
    running = first._jobs / "derived-series-job-x"
    running.mkdir()
    with pytest.raises(Conflict, match="another worker named 'box/0' runs with the folder .*--name of its own"):
        Box("box/0", Place(tmp_path))
    assert running.exists()
    Box("box/1", Place(tmp_path)).close()
    first.close()
    first.close()
    left = Box("box/0", Place(tmp_path))._jobs / "derived-series-job-x"
    assert not left.exists()


def test_what_a_killed_worker_has_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "jobs-one" / "derived-series-job-x"
    folder.mkdir(parents=True)
    Box("one", Place(tmp_path)).close()
    assert not folder.exists()
