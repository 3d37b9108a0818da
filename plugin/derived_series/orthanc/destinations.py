"""The servers in Orthanc's configuration that series can be sent to or retrieved from."""

from __future__ import annotations

from collections.abc import Iterable

from derived_series.dicomweb.client import Connection
from derived_series.errors import InvalidRequest, NotFound
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.orthanc.abstract_gateway import Gateway


class Destinations:
    """The servers of the DICOMweb plugin, and the DICOM modalities.

    :param connection: knows the address of the DICOMweb plugin.
    """

    def __init__(self, gateway: Gateway, connection: Connection):
        self._gateway = gateway
        self._servers = connection.dicomweb_servers

    def check(self, asked: DeriveRequest) -> None:
        """Check the servers in a request: the destinations of its series, and the sources of its inputs.

        :raises NotFound: there is no such server; the message names the existing ones.
        :raises InvalidRequest: a query names something other than DICOM tags.
        """
        self.check_names(asked.destinations)
        self._check_names([each.from_ for each in asked.retrieve.values()], "server to retrieve from")
        keywords = dict.fromkeys(keyword for each in asked.retrieve.values() for keyword in each.query)
        unknown = [keyword for keyword in keywords if self._gateway.tag_number(keyword) is None]
        if unknown:
            raise InvalidRequest(
                f"Retrieve: there is no tag {', '.join(map(repr, unknown))}", remedy="use keywords of DICOM tags"
            )

    def check_names(self, names: Iterable[str]) -> None:
        """Check the names of destinations. :raises NotFound: there is no such destination."""
        self._check_names(names, "destination")

    def _check_names(self, names: Iterable[str], what: str) -> None:
        names = list(names)
        if not names:
            return
        known = {*self._gateway.get_any(self._servers), *self._gateway.get("/modalities")}
        unknown = [name for name in dict.fromkeys(names) if name not in known]
        if unknown:
            raise NotFound(
                f"there is no {what} {', '.join(map(repr, unknown))}",
                remedy="use a name of DicomWeb.Servers or DicomModalities: "
                f"{', '.join(sorted(known)) or 'neither has one'}",
            )
