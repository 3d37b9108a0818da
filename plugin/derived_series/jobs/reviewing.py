"""What the review page asks of a worker: the headers of a series, and frames that must be decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from derived_series.dicom.instances import read_instance
from derived_series.dicom.selection import Part, Plane, Selection
from derived_series.dicomweb.client import Client, Connection
from derived_series.dicomweb.readback import describe_series, instances_held
from derived_series.dicomweb.wado import fetch_series
from derived_series.review.manifest import series_document
from derived_series.review.pixels import frames


def describe(
    connection: Connection, series: str, orientation: Plane | Sequence[float] | None, part: Part | None
) -> dict[str, Any]:
    """A series as the review page reads it; see ``series_document``.

    :param series: its Orthanc identifier.
    :param orientation, part: what a derivation took of it; see ``Selection``.
    """
    with Client(connection) as client:
        found = describe_series(client, series)
        parts = fetch_series(client, found.study_instance_uid, found.series_instance_uid, expected=found.instances)
        headers = [read_instance(part, f"instance {index}", pixels=False) for index, part in enumerate(parts)]
        return {"ID": series, **series_document(headers, instances_held(client, series), Selection(orientation, part))}


def decode(connection: Connection, instance: str, first: int, count: int) -> bytes:
    """Frames of an instance; see ``frames``. :param instance: its Orthanc identifier."""
    with Client(connection) as client:
        return frames(client.get_bytes(f"/instances/{instance}/file"), instance, first, count)
