"""Requests with a limit on their total time; the time-outs of sockets only limit silence."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool
from urllib3.util import Retry


class BoundedAdapter(HTTPAdapter):
    """The single connection of a session, which another thread can cut.

    :param retries: which requests are sent again.
    """

    def __init__(self, retries: Retry) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_late = False
        self._bounded: dict[type[Any], type[Any]] = {}
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=retries)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Limit the time of a request in this context, which then ends with a connection error.

        :raises TimeoutError: in place of that error.
        """
        self._is_late = False
        began = time.monotonic()
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        late = TimeoutError(f"it lasted longer than {seconds:g} s in total and was ended")
        try:
            yield
            if self._is_late:  # an answer that was cut off may look complete
                raise late
        except requests.RequestException as error:
            if self._is_late or time.monotonic() - began >= seconds:  # the socket's own time-out may come first
                raise late from error
            raise
        finally:
            timer.cancel()

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,
        proxies: Mapping[str, str] | None = None,
        cert: str | tuple[str, str] | None = None,
    ) -> ConnectionPool:
        pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        if isinstance(pool, HTTPConnectionPool):
            self._observe(pool)
        return pool

    def _observe(self, pool: HTTPConnectionPool) -> None:
        kind = pool.ConnectionCls
        if kind not in self._bounded.values():
            if kind not in self._bounded:
                self._bounded[kind] = _observed(kind, self._opened)
            pool.ConnectionCls = self._bounded[kind]

    def _opened(self, opened: socket.socket) -> None:
        with self._lock:
            self._socket = opened
            if self._is_late:
                raise TimeoutError("the connection took too long")

    def _cut(self) -> None:
        with self._lock:
            self._is_late = True
            if self._socket is not None:
                try:
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # also with TLS, without a closing handshake
                except OSError:  # it is closed
                    return


def _observed(kind: type[Any], opened: Callable[[socket.socket], None]) -> type[Any]:
    """A class of connections that report their socket when it is opened."""

    class Observed(kind):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            opened(self.sock)

    return Observed
