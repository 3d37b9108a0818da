"""Marking the HTTP requests of a job's own code to the server that the job runs for."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

#: The header that names the job.
HEADER = "X-Derived-Series-Job"


@contextmanager
def marked(job_id: str, base_url: str) -> Iterator[None]:
    """Add :data:`HEADER` to all requests to the server, from any library that uses ``http.client``.

    A job that waits for another one occupies the worker that the other needs, so the server refuses such requests.
    """
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    plain = http.client.HTTPConnection.putrequest

    def putrequest(
        connection: http.client.HTTPConnection,
        method: str,
        url: str,
        skip_host: bool = False,
        skip_accept_encoding: bool = False,
    ) -> None:
        plain(connection, method, url, skip_host=skip_host, skip_accept_encoding=skip_accept_encoding)
        if connection.port == port:
            connection.putheader(HEADER, job_id)

    http.client.HTTPConnection.putrequest = putrequest  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        http.client.HTTPConnection.putrequest = plain  # type: ignore[method-assign]
