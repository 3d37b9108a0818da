"""A proxy in front of an Orthanc that records requests, and can cut off their senders."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests

from dask_cluster import children
from derived_series.jobs.remote.attempts import HEADER
from orthanc_server import OrthancServer

_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"}


class RecordingProxy:
    """A proxy on a port of this machine.

    :ivar target: the URL of the Orthanc.
    """

    def __init__(self, port: int):
        self.url = f"http://127.0.0.1:{port}"
        self.target: OrthancServer | None = None
        self._asked: list[tuple[str, str, bytes]] = []
        self._cut: set[int] = set()
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._http.daemon_threads = True

    def __enter__(self) -> RecordingProxy:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def cut(self, pid: int) -> None:
        """Stop answering a process and its descendants."""
        with self._lock:
            self._cut = {pid, *children(pid)}

    def open(self) -> None:
        """Answer everybody again."""
        with self._lock:
            self._cut = set()

    def is_cut(self, port: int) -> bool:
        """Whether the process with a port is cut off."""
        with self._lock:
            cut = set(self._cut)
        return bool(cut) and bool({process for process in cut if port in ports_of(process)})

    def note(self, path: str, token: str, body: bytes) -> None:
        with self._lock:
            self._asked.append((path, token, body))

    def tokens(self) -> list[str]:
        """The sent tokens of attempts, in order."""
        with self._lock:
            return list(dict.fromkeys(token for _, token, _ in self._asked if token))

    def bodies(self) -> list[tuple[str, bytes]]:
        """The paths of requests, with their bodies."""
        with self._lock:
            return [(path, body) for path, _, body in self._asked]


def ports_of(process: int) -> set[int]:
    """The ports from which a process has opened connections."""
    try:
        links = [str(each.readlink()) for each in Path(f"/proc/{process}/fd").iterdir()]
    except OSError:
        return set()
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].partition(":")[2], 16) for row in rows if row[9] in sockets}


def _handler(proxy: RecordingProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            """Do nothing."""

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            proxy.note(self.path, self.headers.get(HEADER, ""), body if len(body) < 1 << 16 else b"")
            assert proxy.target is not None
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_CONNECTION}
            try:
                if proxy.is_cut(self.client_address[1]):
                    raise OSError("cut off")
                url = proxy.target.url + self.path
                answer = requests.request(self.command, url, headers=headers, data=body, timeout=60)
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in _OF_THE_CONNECTION:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)
            except (OSError, requests.RequestException):
                self.close_connection = True  # without an answer

        do_GET = do_POST = do_PUT = do_DELETE = _pass_on

    return Handler
