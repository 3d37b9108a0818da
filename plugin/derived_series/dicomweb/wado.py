"""WADO-RS (PS3.18 10.4): fetching the instances of a series as they are stored."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import cast

import requests
import urllib3

from derived_series.dicomweb.client import Client, unreachable
from derived_series.dicomweb.multipart import boundary_of, iterate_parts
from derived_series.errors import StorageError

#: Any transfer syntax: without the asterisk a server transcodes to Explicit VR Little Endian.
_AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def fetch_series(
    client: Client, study_instance_uid: str, series_instance_uid: str, *, expected: int | None = None
) -> Iterator[bytes]:
    """Fetch the Part 10 files of a series in one request, in the server's order.

    Only one instance is in memory at a time.

    :param expected: the number of instances that must arrive.
    :raises NotFound: there is no such series.
    :raises StorageError: the server failed, the answer was cut off, or instances are missing.
    """
    url = client.connection.dicomweb_url("studies", study_instance_uid, "series", series_instance_uid)
    count = 0
    try:
        with client.streaming(url, headers={"Accept": _AS_STORED}) as answer:
            boundary = boundary_of(answer.headers.get("Content-Type", ""))
            answer.raw.auto_close = False  # the reader detects the end itself
            for part in iterate_parts(cast(io.RawIOBase, answer.raw), boundary):
                count += 1
                yield part
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise unreachable("GET", url, error) from error
    if expected is not None and count != expected:
        raise StorageError(
            f"GET {url} gave {count} instances where the series has {expected}",
            remedy="the series is still arriving, or files of the storage area cannot be read",
            transient=True,
        )
