"""A proxy in front of an Orthanc that checks every request with the stand-in for the authorization plugin.

It answers ``/auth/user/profile`` as that plugin does, and meanwhile sends Orthanc a request, as the plugin's own route
uses one of Orthanc's threads too. The header ``token`` identifies the user.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import requests

from authorization_plugin import ANONYMOUS, AuthorizationPlugin, Profile

#: Headers of a connection, not of the message (RFC 9110 7.6.1), and headers that the proxy writes itself.
_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
PROFILE = "/auth/user/profile"


class AuthorizationProxy:
    """The proxy. ``plugin`` decides; ``users`` are the profiles by token; ``refused`` are the refused requests.

    ``answers_profiles``: whether the service that knows the users answers.
    """

    def __init__(self, port: int, plugin: AuthorizationPlugin, users: Mapping[str, Profile]):
        self.target = ""
        self.plugin = plugin
        self.users = users
        self.answers_profiles = True
        self.refused: list[tuple[str, str, str]] = []
        self.url = f"http://127.0.0.1:{port}"
        self.http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self.http.daemon_threads = True


def _handler(proxy: AuthorizationProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            """Do nothing."""

        def _answer(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in _OF_THE_CONNECTION:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            profile = proxy.users.get(self.headers.get("token", ""), ANONYMOUS)
            path = urlsplit(self.path).path
            if path == PROFILE:
                requests.get(proxy.target + "/system", timeout=60)
                known = profile is not ANONYMOUS and proxy.answers_profiles
                self._answer(200 if known else 403, json.dumps(profile.to_json()).encode() if known else b"", {})
            elif not proxy.plugin.allows(self.command, path, profile):
                proxy.refused.append((profile.name, self.command, path))
                self._answer(403, b"", {})
            else:
                headers = {name: each for name, each in self.headers.items() if name.lower() not in _OF_THE_CONNECTION}
                answer = requests.request(
                    self.command,
                    proxy.target + self.path,
                    headers={**headers, "X-Forwarded-For": self.client_address[0]},
                    data=body,
                    timeout=60,
                    allow_redirects=False,
                )
                self._answer(answer.status_code, answer.content, answer.headers)

        do_GET = do_POST = do_PUT = do_DELETE = _pass_on

    return Handler


@contextmanager
def authorization_proxy(
    port: int, plugin: AuthorizationPlugin, users: Mapping[str, Profile]
) -> Iterator[AuthorizationProxy]:
    """A listening proxy; set its ``target``, the URL of an Orthanc."""
    proxy = AuthorizationProxy(port, plugin, users)
    thread = threading.Thread(target=proxy.http.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.http.shutdown()
        proxy.http.server_close()
