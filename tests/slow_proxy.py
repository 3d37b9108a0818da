"""A proxy in front of an Orthanc that can delay and change requests that store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from orthanc_server import OrthancServer

#: Headers of a connection, not of the message (RFC 9110 7.6.1), and headers that the proxy writes itself.
_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"}


@dataclass(eq=False)
class Held:
    """A waiting request, whose sender may have gone."""

    body: bytes
    goes_on: threading.Event = field(default_factory=threading.Event)


class SlowProxy:
    """A proxy that holds requests that store while it is closed.

    ``waiting``: the requests that wait now; ``passed``: how many the server has answered. ``change_request`` and
    ``change_answer`` are applied to the bodies of requests that store, and of their answers.
    """

    def __init__(self, port: int):
        self.server: OrthancServer | None = None
        self.waiting: list[Held] = []
        self.passed = 0
        self.change_request: Callable[[bytes], bytes] = bytes
        self.change_answer: Callable[[bytes], bytes] = bytes
        self.url = f"http://127.0.0.1:{port}"
        self.http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self.http.daemon_threads = True
        self._is_open = True
        self._lock = threading.Lock()

    def close(self) -> None:
        """Hold requests that store from now on."""
        self._is_open = False

    def open(self) -> None:
        """Release all requests."""
        with self._lock:
            self._is_open = True
            for held in self.waiting:
                held.goes_on.set()

    def hold(self, body: bytes) -> None:
        with self._lock:
            if self._is_open:
                return
            held = Held(body)
            self.waiting.append(held)
        held.goes_on.wait(60)
        with self._lock:
            self.waiting.remove(held)

    def count(self) -> None:
        with self._lock:
            self.passed += 1


def _handler(proxy: SlowProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            """Do nothing."""

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            stores = self.command == "POST" and "/dicom-web/studies" in self.path
            if stores:
                proxy.hold(body)
                body = proxy.change_request(body)
            assert proxy.server is not None
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_CONNECTION}
            answer = requests.request(
                self.command, proxy.server.url + self.path, headers=headers, data=body, timeout=60
            )
            content = answer.content
            if stores:
                content = proxy.change_answer(content)
                proxy.count()
            try:
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in _OF_THE_CONNECTION:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                self.close_connection = True  # whoever asked has gone

        do_GET = do_POST = do_PUT = do_DELETE = _pass_on

    return Handler


@contextmanager
def slow_proxy(port: int) -> Iterator[SlowProxy]:
    """A listening proxy; set its ``server``."""
    proxy = SlowProxy(port)
    thread = threading.Thread(target=proxy.http.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.open()
        proxy.http.shutdown()
        proxy.http.server_close()
