"""A proxy in front of an Orthanc that takes requests whole and passes those that store on when it likes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from orthanc_server import OrthancServer

#: Headers of one connection, not of the message (RFC 9110 7.6.1), and those that are written anew.
_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"}


class SlowProxy:
    """Requests that store wait while ``gate`` is closed, also those whose sender has gone meanwhile.

    ``held``: how many wait now. ``passed``: how many have been answered by the server.
    """

    def __init__(self, port: int):
        self.server: OrthancServer | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.held = 0
        self.passed = 0
        self.statuses: list[int] = []
        self.lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{port}"

    def count(self, held: int = 0, passed: int = 0) -> None:
        with self.lock:
            self.held += held
            self.passed += passed


def _handler(proxy: SlowProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing."""

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            stores = self.command == "POST" and "/dicom-web/studies" in self.path
            if stores and not proxy.gate.is_set():
                proxy.count(held=1)
                proxy.gate.wait(60)
                proxy.count(held=-1)
            assert proxy.server is not None
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_CONNECTION}
            answer = requests.request(
                self.command, proxy.server.url + self.path, headers=headers, data=body, timeout=60
            )
            if stores:
                proxy.count(passed=1)
            try:
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in _OF_THE_CONNECTION:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)
            except OSError:
                self.close_connection = True  # whoever asked has gone

        do_GET = do_POST = do_PUT = do_DELETE = _pass_on

    return Handler


@contextmanager
def slow_proxy(port: int) -> Iterator[SlowProxy]:
    """A proxy that listens; give it its ``server``."""
    proxy = SlowProxy(port)
    thread = threading.Thread(target=proxy.http.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.gate.set()
        proxy.http.shutdown()
        proxy.http.server_close()
