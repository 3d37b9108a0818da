"""How instances are cut into requests, where a server says what it takes."""

from __future__ import annotations

import pytest

from derived_series.dicomweb import stow
from derived_series.dicomweb.client import Client, Connection
from derived_series.dicomweb.stow import BatchLimits, Part10
from derived_series.errors import StorageError

MOST_BYTES = 1 << 20


def sizes_of_requests(monkeypatch: pytest.MonkeyPatch, sizes: list[int], limits: BatchLimits) -> list[list[int]]:
    """The sizes of the instances of each request."""
    requests: list[list[int]] = []

    def send(client: Client, study: str, chunk: list[Part10], stop: object) -> int:
        requests.append([len(part.data) for part in chunk])
        return len(chunk)

    monkeypatch.setattr(stow, "_send", send)
    parts = [Part10(f"1.{number}", bytes(size)) for number, size in enumerate(sizes)]
    with Client(Connection("http://127.0.0.1:9")) as client:
        assert stow.store(client, "1.2.3", parts, limits=limits) == len(sizes)
    return sorted(requests)


def test_requests_keep_to_what_the_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = BatchLimits(connections=1).within(MOST_BYTES)
    requests = sizes_of_requests(monkeypatch, [400_000] * 5 + [1_000_000], limits)
    assert requests == [[400_000], [400_000] * 2, [400_000] * 2, [1_000_000]]
    assert all(sum(sizes) + 2000 * len(sizes) < MOST_BYTES for sizes in requests)
    assert BatchLimits(connections=1).within(None) == BatchLimits(connections=1)
    assert sizes_of_requests(monkeypatch, [400_000] * 6, BatchLimits(connections=1)) == [[400_000] * 6]


def test_an_instance_that_no_request_can_hold_is_refused_with_the_setting_to_raise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(StorageError, match=r"the instance 1\.1 has 1048576 bytes") as caught:
        sizes_of_requests(monkeypatch, [10, MOST_BYTES], BatchLimits(connections=1).within(MOST_BYTES))
    assert "MaximumRequestBodySizeMB" in str(caught.value.remedy)
