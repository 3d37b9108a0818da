"""Metadata of series as workers read it, whoever wrote it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from derived_series.dicomweb.client import Client
from derived_series.errors import NotFound
from derived_series.jobs.own_metadata import provenance_in, retrieval_in
from derived_series.jobs.work import fit, removal, retrieval


def client_with(metadata: bytes | None) -> Client:
    """A client of an Orthanc whose series all have this metadata."""

    def get_bytes(path: str) -> bytes:
        if metadata is None:
            raise NotFound(f"Orthanc has no {path}")
        return metadata

    return cast(Client, SimpleNamespace(get_bytes=get_bytes))


@pytest.mark.parametrize("metadata", [None, b"seen", b"\xff", b"[" * 100_000, b"3", b"null", b"[]", b"{}"])
def test_metadata_that_another_program_wrote_says_nothing_to_a_worker(metadata: bytes | None) -> None:
    client = client_with(metadata)
    assert not fit._is_derived(client, "s") and not removal._is_accepted(client, "s")
    assert retrieval._mark_of(client, "s", "j") is None


def test_our_own_metadata_is_known() -> None:
    assert fit._is_derived(client_with(b'{"Job": "j", "Parents": []}'), "s")
    assert removal._is_accepted(client_with(b'{"State": "Accepted"}'), "s")
    mark = client_with(b'{"Job": "j", "Server": "pacs"}')
    assert retrieval._mark_of(mark, "s", "j") == {"Server": "pacs"} and retrieval._mark_of(mark, "s", "k") is None


def test_what_fits_is_kept_as_it_is() -> None:
    document: dict[str, Any] = {
        "Job": "j",
        "Created": "2026-11-27T13:00:00+01:00",
        "ParentSeries": "p",
        "Parents": [{"Input": "parent", "ID": "p", "SeriesInstanceUID": "1.2"}],
        "Pipeline": "x",
        "Parameters": {"Sigma": 2},
        "Rule": {"Name": "r", "Chain": ["r"], "Depth": 1, "Subject": "s", "Digest": "d"},
        "By": {"UserFrom": "Rule"},
        "Code": {"Name": "x", "File": "x.py", "Sha256": "ab", "Helpers": {"y.py": "cd"}},
        "Output": "result",
        "Series": [{"Output": "result", "ID": "s", "SeriesInstanceUID": "1.3"}],
        "Values": [],
        "Request": {"Pipeline": "x", "Inputs": {"mask": "m"}},
        "Warnings": [],
    }
    assert provenance_in(json.loads(json.dumps(document))) == document
    assert retrieval_in(document) == document and retrieval_in([document]) is None
