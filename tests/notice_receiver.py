"""Receives notices with an HTTP server that can be stopped and started again, and sends a test's answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()


@dataclass(frozen=True, slots=True)
class Received:
    """A request. :ivar status: the status of its answer."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def is_signed_with(self, secret: str) -> bool:
        """Whether its signature is right by Standard Webhooks, implemented independently of the package."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return self.headers.get("webhook-signature") == f"v1,{wanted}"


class NoticeReceiver:
    """A program that receives notices.

    :ivar answer: the status and the headers for each request; by default 204.
    """

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.answer: Callable[[Received], tuple[int, dict[str, str]]] = lambda request: (204, {})
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """The URL, with a token in it like a chat's."""
        return f"http://127.0.0.1:{self.port}/hook/T0KEN"

    @property
    def taken(self) -> list[Received]:
        """The requests that were answered with success."""
        return [request for request in self.requests if 200 <= request.status < 300]

    def start(self) -> None:
        """Start the server on its former port."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, more = receiver.answer(Received(self.path, headers, body, 0))
                self.send_response(status)
                for name, value in {"Content-Length": "0", "Connection": "close", **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                receiver.requests.append(Received(self.path, headers, body, status))

            def log_message(self, format: str, *args: Any) -> None:
                """Do nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = False  # what was begun is answered
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, after answering begun requests."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def wait(self, is_there: Callable[[list[Received]], bool], seconds: float = 60) -> list[Received]:
        """The accepted requests, as soon as they fulfil a condition."""
        end = time.monotonic() + seconds
        while not is_there(self.taken):
            assert time.monotonic() < end, [request.body for request in self.requests]
            time.sleep(0.02)
        return self.taken


@contextmanager
def notice_receiver() -> Iterator[NoticeReceiver]:
    """A running receiver."""
    receiver = NoticeReceiver()
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()
