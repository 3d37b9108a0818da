"""The places that a series can be sent on to, as Orthanc is configured."""

from __future__ import annotations

from collections.abc import Iterable

from derived_series.errors import NotFound
from derived_series.orthanc.abstract_gateway import Gateway


class Destinations:
    """The servers of the DICOMweb plugin, and the DICOM modalities.

    :param dicomweb_root: where the DICOMweb plugin answers, without a slash at the end.
    """

    def __init__(self, gateway: Gateway, dicomweb_root: str):
        self._gateway = gateway
        self._servers = f"{dicomweb_root}/servers"

    def check(self, names: Iterable[str]) -> None:
        """:raises NotFound: a name that is neither, naming those there are."""
        names = list(names)
        if not names:
            return
        known = {*self._gateway.get_any(self._servers), *self._gateway.get("/modalities")}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise NotFound(
                f"there is no destination {', '.join(map(repr, unknown))}",
                remedy="use a name of DicomWeb.Servers or DicomModalities: "
                f"{', '.join(sorted(known)) or 'neither has one'}",
            )
