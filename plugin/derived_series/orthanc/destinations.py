"""The servers that a series can be sent on to, or be retrieved from, as Orthanc is configured."""

from __future__ import annotations

from collections.abc import Iterable

from derived_series.dicomweb.client import Connection
from derived_series.errors import InvalidRequest, NotFound
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.orthanc.abstract_gateway import Gateway


class Destinations:
    """The servers of the DICOMweb plugin, and the DICOM modalities.

    :param connection: knows where the DICOMweb plugin answers.
    """

    def __init__(self, gateway: Gateway, connection: Connection):
        self._gateway = gateway
        self._servers = connection.dicomweb_servers

    def check(self, asked: DeriveRequest) -> None:
        """What a request names: where its series go, and where its inputs come from.

        :raises NotFound: a name that is neither, naming those there are.
        :raises InvalidRequest: a query by something that is no DICOM tag.
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
        """:raises NotFound: a name that is not a destination."""
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
