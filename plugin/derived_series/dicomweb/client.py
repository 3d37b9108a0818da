"""HTTP requests to Orthanc and its DICOMweb server, and the errors that its answers mean."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import requests
from urllib3 import BaseHTTPResponse
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import Retry

from derived_series.dicomweb.bounded import BoundedAdapter
from derived_series.errors import NotFound, StorageError
from derived_series.no_answer import is_untrusted, reason_of
from derived_series.shortening import shortened

#: Statuses after which the same request may succeed later (RFC 9110), besides all 5xx except 501 and 505.
_TRANSIENT = frozenset({408, 425, 429})
_NEVER = frozenset({501, 505})
_QUOTE_CHARACTERS = 500
#: Idempotent methods, whose requests may be sent twice (RFC 9110 9.2.2).
_IDEMPOTENT = frozenset({"GET", "PUT", "DELETE"})


class _OnceMore(Retry):
    """Retries an idempotent request once after a lost connection, but not after a time-out or any status.

    A server may close a kept-alive connection just when it is used again (Orthanc does after half a second of silence).
    """

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)


_ONCE_MORE = _OnceMore(total=1, allowed_methods=_IDEMPOTENT, respect_retry_after_header=False)


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a server: a value that can be sent to another process or machine.

    :param base_url: the URL of the Orthanc REST API without a slash at the end: ``http://127.0.0.1:8042``.
    :param authorization: the ``Authorization`` header, or None; hidden from ``repr``.
    :param headers: more headers for all requests, such as a token; they override ``authorization``; hidden too.
    :param dicomweb_root: the path of the DICOMweb API below ``base_url``.
    :param timeout: seconds without any byte of an answer after which a request fails.
    :param store_timeout: the total seconds that a request with instances may last.
    :param verify: for HTTPS: True, False, or the file with the certificates to trust.
    """

    base_url: str
    authorization: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    dicomweb_root: str = "/dicom-web"
    timeout: float = 300.0
    store_timeout: float = 300.0
    verify: bool | str = True

    def url(self, path: str) -> str:
        """The URL of a path of the REST API, such as ``/system``."""
        return self.base_url + path

    @property
    def dicomweb_servers(self) -> str:
        """The path of the list of servers that Orthanc's DICOMweb plugin knows."""
        return f"/{self.dicomweb_root.strip('/')}/servers"

    def dicomweb_url(self, *segments: str) -> str:
        """The URL of a DICOMweb resource: ``dicomweb_url("studies", study_instance_uid)``."""
        root = self.dicomweb_root.strip("/")
        return "/".join([self.base_url, *([root] if root else []), *(quote(segment, safe="") for segment in segments)])


class Client:
    """Sends requests to one server, from any number of threads, each with its own session.

    Close it (or use ``with``) when the work is done: an idle kept-alive connection occupies one of the server's HTTP
    threads.

    :ivar has_sent_instances: whether a request that stores instances was begun.
    """

    def __init__(self, connection: Connection):
        self.connection = connection
        self.has_sent_instances = False
        self._local = threading.local()
        self._lock = threading.Lock()
        self._sessions: list[requests.Session] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for session in self._sessions:
                session.close()
            self._sessions.clear()
            self._local = threading.local()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.trust_env = False  # no proxy, no .netrc: only the configuration counts
            # Orthanc compresses answers if asked to, which takes 30 times as long as the transfer.
            session.headers["Accept-Encoding"] = "identity"
            if self.connection.authorization is not None:
                session.headers["Authorization"] = self.connection.authorization
            session.headers.update(self.connection.headers)
            session.verify = self.connection.verify
            session.mount(self.connection.base_url, BoundedAdapter(_ONCE_MORE))
            with self._lock:
                self._sessions.append(session)
                self._local.session = session
        return session

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        stream: bool = False,
        timeout: float | None = None,
        within: float | None = None,
    ) -> requests.Response:
        """Send a request and return the answer, whatever its status. See ``_OnceMore`` for retries.

        :param timeout: seconds of silence, instead of the connection's.
        :param within: the total seconds that the request may last; its answer is not streamed.

        :raises StorageError: there is no answer (transient).
        """
        try:
            if within is not None:
                return self._send_within(within, method, url, headers, data)
            return self._send(method, url, headers, data, stream, timeout)
        except (requests.RequestException, TimeoutError) as error:
            raise unreachable(method, url, error) from error

    def _send_within(
        self, seconds: float, method: str, url: str, headers: Mapping[str, str] | None, data: bytes | None
    ) -> requests.Response:
        adapter = self._session().get_adapter(self.connection.base_url)
        if not isinstance(adapter, BoundedAdapter):
            raise TypeError("every session has an adapter of this class")
        with adapter.within(seconds):
            return self._send(method, url, headers, data, False, min(seconds, self.connection.timeout))

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        data: bytes | None,
        stream: bool,
        timeout: float | None,
    ) -> requests.Response:
        return self._session().request(
            method,
            url,
            headers=dict(headers or {}),
            data=data,
            stream=stream,
            timeout=timeout or self.connection.timeout,
            allow_redirects=False,
        )

    def get_json(self, path: str) -> Any:
        """GET a path of the REST API.

        :raises NotFound: 404.
        :raises StorageError: any other failure, or an answer that is not JSON.
        """
        answer = check(self.send("GET", self.connection.url(path)))
        try:
            return answer.json()
        except ValueError as error:
            raise StorageError(f"GET {answer.url} answered {quoted(answer)}, which is not JSON") from error

    def post_json(self, path: str, text: str) -> Any:
        """POST a text to a path of the REST API and return the JSON answer; it raises the errors of ``get_json``."""
        answer = check(self.send("POST", self.connection.url(path), data=text.encode()))
        try:
            return answer.json()
        except ValueError as error:
            raise StorageError(f"POST {answer.url} answered {quoted(answer)}, which is not JSON") from error

    def put(self, path: str, data: bytes) -> None:
        """PUT bytes to a path of the REST API; it raises the errors of ``get_json``."""
        check(self.send("PUT", self.connection.url(path), data=data))

    def get_bytes(self, path: str) -> bytes:
        """GET a path of the REST API as bytes; it raises the errors of ``get_json``."""
        return check(self.send("GET", self.connection.url(path))).content

    def delete(self, path: str) -> bool:
        """DELETE a path of the REST API; False if there was nothing."""
        try:
            check(self.send("DELETE", self.connection.url(path)))
        except NotFound:
            return False
        return True

    @contextmanager
    def streaming(self, url: str, *, headers: Mapping[str, str] | None = None) -> Iterator[requests.Response]:
        """GET an answer and check its status; the body is read as it arrives."""
        answer = self.send("GET", url, headers=headers, stream=True)
        try:
            yield check(answer)
        finally:
            answer.close()


def check(answer: requests.Response) -> requests.Response:
    """Return the answer if its status is 2xx.

    :raises NotFound: 404.
    :raises StorageError: any other status; ``transient`` says whether trying again may help.
    """
    status = answer.status_code
    if 200 <= status < 300:
        return answer
    what = f"{answer.request.method} {answer.url} answered {status} {answer.reason}"
    if status == 404:
        raise NotFound(what, details=quoted(answer))
    remedy = None
    if status in (401, 403):
        remedy = "the server refuses our Authorization header: check its users and authorization plugins"
    raise StorageError(what, remedy=remedy, details=quoted(answer), transient=is_transient(status))


def is_transient(status: int) -> bool:
    """Whether the same request may succeed later, by its HTTP status."""
    return status in _TRANSIENT or (500 <= status < 600 and status not in _NEVER)


def unreachable(method: str, url: str, error: Exception) -> StorageError:
    """The error for a request with no answer, or only a part of one."""
    reason = reason_of(error)
    return StorageError(
        f"{method} {url}: no answer ({type(error).__name__}{reason and f': {reason}'})",
        remedy="name a CaBundle that has its authority, and reach it by a name that its certificate has"
        if is_untrusted(error)
        else "is the server running, and has it HTTP threads to spare (HttpThreadsCount)?",
        details=str(error),
        transient=True,
    )


def quoted(answer: requests.Response) -> str:
    """The beginning of an answer's text."""
    text = answer.content[: 4 * _QUOTE_CHARACTERS].decode("utf-8", "replace")
    return shortened(text, _QUOTE_CHARACTERS)
