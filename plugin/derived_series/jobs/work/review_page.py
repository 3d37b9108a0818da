"""The tasks of a worker for the review page: describing a series, and decoding frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from derived_series.dicom.source.instances import read_file, read_instance
from derived_series.dicom.source.selection import Part, Plane, Selection
from derived_series.dicomweb.client import Client, Connection
from derived_series.dicomweb.readback import describe_series, instances_held
from derived_series.dicomweb.wado import fetch_series
from derived_series.jobs.work.held_files import held_file
from derived_series.review.frame_bytes import frames
from derived_series.review.manifest import series_document


def describe(
    connection: Connection,
    series: str,
    orientation: Plane | Sequence[float] | None,
    part: Part | None,
    scratch: str,
) -> dict[str, Any]:
    """Describe a series for the review page; see ``series_document``.

    :param series: its Orthanc identifier.
    :param orientation, part: what a derivation took of it; see ``Selection``.
    :param scratch: the workers' scratch folder.
    """
    with Client(connection) as client:
        described = describe_series(client, series)
        held = instances_held(client, series)
        file = held_file(client, next(iter(held.values())), scratch) if len(held) == 1 else None
        if file is not None:
            headers = [read_file(file)]
        else:
            parts = fetch_series(
                client, described.study_instance_uid, described.series_instance_uid, expected=described.instances
            )
            headers = [read_instance(part, f"instance {index}", pixels=False) for index, part in enumerate(parts)]
        return {"ID": series, **series_document(headers, held, Selection(orientation, part))}


def decode(connection: Connection, instance: str, firsts: Sequence[int], count: int, scratch: str) -> bytes:
    """Decode frames of an instance; see ``frames``. :param instance: its Orthanc identifier."""
    with Client(connection) as client:
        file = held_file(client, instance, scratch)
        if file is None:
            source = read_instance(client.get_bytes(f"/instances/{instance}/file"), instance)
        else:
            source = read_file(file)
        return frames(source, instance, firsts, count)
