"""Fetching the series that a derivation reads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.selection import Selection
from derived_series.dicomweb.readback import SeriesOnServer
from derived_series.dicomweb.wado import fetch_series
from derived_series.jobs.work.attempt import Attempt

#: A parent with more bytes than this is kept in files.
_MEMORY_BYTES = 256 << 20


def fetch_parent(attempt: Attempt, series: SeriesOnServer, selection: Selection, folder: Path) -> ParentSeries:
    """Fetch a series with its pixels. :param folder: a folder for the files of a large series."""
    parts = _parts(attempt, series)
    first = next(parts, b"")
    whole = chain([first] if first else [], parts)
    if len(first) * series.instances <= _MEMORY_BYTES:
        return ParentSeries.from_bytes(whole, selection)
    return ParentSeries.from_files(_spooled(whole, Path(tempfile.mkdtemp(dir=folder))), selection)


def fetch_objects(attempt: Attempt, series: SeriesOnServer) -> ParentSeries:
    """Fetch a series of any kind of object, as objects."""
    return ParentSeries.from_objects(_parts(attempt, series))


def fetch_headers(attempt: Attempt, series: SeriesOnServer, selection: Selection) -> ParentSeries:
    """Fetch the headers of a series."""
    return ParentSeries.from_bytes(_parts(attempt, series), selection, pixels=False)


def _parts(attempt: Attempt, series: SeriesOnServer) -> Iterator[bytes]:
    parts = fetch_series(
        attempt.client, series.study_instance_uid, series.series_instance_uid, expected=series.instances
    )
    return attempt.progress.counted("Fetching", parts, series.instances)


def _spooled(parts: Iterable[bytes], folder: Path) -> Iterator[Path]:
    for index, part in enumerate(parts):
        path = folder / f"{index:06d}.dcm"
        path.write_bytes(part)
        yield path
