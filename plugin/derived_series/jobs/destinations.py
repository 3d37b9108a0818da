"""The names of destinations: servers of the DICOMweb plugin and DICOM modalities, as Orthanc knows them."""

from __future__ import annotations

from collections.abc import Iterable

from derived_series.errors import NotFound


def check_destinations(names: Iterable[str], servers: Iterable[str], modalities: Iterable[str]) -> None:
    """:raises NotFound: a name that is neither, naming those there are."""
    known = {*servers, *modalities}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise NotFound(
            f"there is no destination {', '.join(map(repr, unknown))}",
            remedy=f"use a name of DicomWeb.Servers or DicomModalities: {', '.join(sorted(known)) or 'none is there'}",
        )
