"""A worker of another machine that does not reach one Orthanc, and another one all the same."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from derived_series.errors import StorageError
from derived_series.jobs.box import box as module
from derived_series.jobs.box.box import Box, Place
from derived_series.jobs.remote.errand import Errand
from derived_series.machines.certificates import make_certificates
from orthanc_server import free_port


class Ended(BaseHTTPRequestHandler):
    """An Orthanc of which every attempt has ended."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(410)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@contextmanager
def orthanc_by_https(port: int, folder: Path) -> Iterator[None]:
    with HTTPServer(("127.0.0.1", port), Ended) as server:
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
    assert box.report()["Unreached"] == [dead.url]
    with pytest.raises(StorageError, match=f"does not reach Orthanc at {dead.url}"):
        box.run(dead.to_json())
    with orthanc_by_https(ports[1], tmp_path / "127.0.0.1"):
        assert "not want" in box.run(other.to_json())
    assert box.report()["Unreached"] == [dead.url]
    with orthanc_by_https(ports[0], tmp_path / "127.0.0.1"):
        end = time.monotonic() + 30
        while box.report()["Unreached"]:
            assert time.monotonic() < end, "it is back, and the worker does not see it"
            time.sleep(0.02)
        assert "not want" in box.run(dead.to_json())
    box.close()
