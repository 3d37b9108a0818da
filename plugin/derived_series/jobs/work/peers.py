"""Querying other servers in Orthanc's configuration, and retrieving series from them.

Orthanc does both: with C-FIND and C-MOVE, or C-GET if configured, for DICOM modalities (Orthanc Book, "Performing
Query/Retrieve (C-FIND) and Find with REST"), and with QIDO-RS and WADO-RS for DICOMweb servers ("DICOMweb plugin",
Orthanc as a client). Only servers in the configuration are ever queried.
"""

from __future__ import annotations

import contextlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydicom.datadict import keyword_for_tag

from derived_series.dicomweb.client import Client, check, quoted
from derived_series.errors import DerivedSeriesError, NotFound, StorageError

#: A server's answer about a study or series: texts by keyword.
Found = Mapping[str, str]

#: Seconds that a modality may take to answer a C-FIND; seconds between two checks of a retrieval.
_FIND_SECONDS = 60
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Peer(ABC):
    """Another server. :param name: its name in Orthanc's configuration."""

    client: Client
    name: str

    @property
    @abstractmethod
    def kind(self) -> str:
        """What kind of server it is, in words."""

    @abstractmethod
    def studies(self, keys: Mapping[str, str]) -> list[Found]:
        """Find the matching studies, and maybe others; a key without a value requests the value.

        :raises StorageError: it cannot be queried.
        """

    @abstractmethod
    def series(self, study: str, keys: Mapping[str, str]) -> list[Found]:
        """Find the matching series of a study likewise. :param study: its StudyInstanceUID."""

    @abstractmethod
    def begin(self, study: str, series: str, more: Mapping[str, Any]) -> str:
        """Make Orthanc retrieve a series by its UIDs; return the identifier of Orthanc's job.

        :param more: additional keys of the request.
        """

    def retrieve(self, study: str, series: str, within: float, job_id: str, report: Callable[[int], None]) -> None:
        """Retrieve a series, and wait until it has arrived.

        :param within: the seconds that it may take.
        :param job_id: the job, which Orthanc's own job names in UserData (from 1.12.9 on).
        :param report: called with the percentage that has arrived; if it raises, the retrieval is cancelled.
        :raises StorageError: the retrieval fails (transient), or takes too long.
        """
        job = self.begin(study, series, {"Synchronous": False, "UserData": {"DerivedSeriesJob": job_id}})
        is_over = False
        end = time.monotonic() + within
        try:
            while (state := self.client.get_json(f"/jobs/{job}"))["State"] not in ("Success", "Failure"):
                if time.monotonic() > end:
                    raise StorageError(
                        f"the series {series} has not come from {self.name!r} within {within:g} s",
                        remedy="raise RetrieveTimeout in the configuration",
                    )
                report(int(state["Progress"]))
                time.sleep(_LOOK_SECONDS)
            is_over = True
        finally:
            if not is_over:
                with contextlib.suppress(DerivedSeriesError):
                    self.client.post_json(f"/jobs/{job}/cancel", "{}")
        if state["State"] == "Failure":
            raise StorageError(
                f"the {self.kind} {self.name!r} did not send the series {series}: {state['ErrorDescription']}",
                remedy=self.remedy,
                details=str(state.get("ErrorDetails") or ""),
                transient=True,
            )

    @property
    def remedy(self) -> str | None:
        """The usual cause of a failed retrieval, as a remedy."""
        return None


class Modality(Peer):
    """A DICOM modality."""

    kind = "modality"
    remedy = "does the modality know this Orthanc's AET and port, and is DicomServerEnabled true here?"

    def studies(self, keys: Mapping[str, str]) -> list[Found]:
        return self._find("Study", keys)

    def series(self, study: str, keys: Mapping[str, str]) -> list[Found]:
        return self._find("Series", {**keys, "StudyInstanceUID": study})

    def begin(self, study: str, series: str, more: Mapping[str, Any]) -> str:
        query, matches = self._query("Series", {"StudyInstanceUID": study, "SeriesInstanceUID": series})
        try:
            place = next(at for at, each in enumerate(matches) if each.get("SeriesInstanceUID") == series)
            job = self.client.post_json(f"{query}/answers/{place}/retrieve", json.dumps(more))
        except StopIteration as error:
            raise NotFound(f"the series {series} is no longer at {self.name!r}") from error
        finally:
            self.client.delete(query)
        return str(job["ID"])

    def _find(self, level: str, keys: Mapping[str, str]) -> list[Found]:
        query, matches = self._query(level, keys)
        self.client.delete(query)
        return matches

    def _query(self, level: str, keys: Mapping[str, str]) -> tuple[str, list[Found]]:
        """Run a query: its path in Orthanc, which the caller must delete, and its answers."""
        asked = {"Level": level, "Query": dict(keys), "Timeout": _FIND_SECONDS}
        path = self.client.post_json(f"/modalities/{quote(self.name, safe='')}/query", json.dumps(asked))["Path"]
        return path, list(map(_by_keyword, self.client.get_json(f"{path}/answers?expand")))


class DicomWebServer(Peer):
    """A server of the DICOMweb plugin."""

    kind = "DICOMweb server"

    def studies(self, keys: Mapping[str, str]) -> list[Found]:
        return self._qido("/studies", keys)

    def series(self, study: str, keys: Mapping[str, str]) -> list[Found]:
        return self._qido(f"/studies/{study}/series", keys)

    def begin(self, study: str, series: str, more: Mapping[str, Any]) -> str:
        asked = {"Resources": [{"Study": study, "Series": series}], **more}
        return str(self.client.post_json(f"{self._root}/retrieve", json.dumps(asked))["ID"])

    def _qido(self, uri: str, keys: Mapping[str, str]) -> list[Found]:
        """Query with QIDO-RS. Only DICOM JSON has numbers; Orthanc passes on one includefield, not several.

        Orthanc as the server does not decode percent-encoded values (seen in 1.10 with DICOMweb 1.7), so values that
        need encoding are not sent, and the caller filters the answers.
        """
        arguments = {
            keyword: value
            for keyword, value in keys.items()
            if value and (keyword == "PatientID" or quote(value, safe="") == value)
        }
        if "IssuerOfPatientID" in keys:
            arguments["includefield"] = "IssuerOfPatientID"
        asked = {"Uri": uri, "Arguments": arguments, "HttpHeaders": {"Accept": "application/dicom+json"}}
        url = self.client.connection.url(f"{self._root}/get")
        answer = check(self.client.send("POST", url, data=json.dumps(asked).encode()))
        try:
            return list(map(_by_keyword, answer.json() if answer.content.strip() else []))  # nothing matches: 204
        except (ValueError, AttributeError, TypeError) as error:
            raise StorageError(
                f"{self.name!r} answered {uri} with {quoted(answer)}, which is not DICOM JSON"
            ) from error

    @property
    def _root(self) -> str:
        return f"{self.client.connection.dicomweb_servers}/{quote(self.name, safe='')}"


def peer_of(client: Client, name: str) -> Peer:
    """Look up a server by name. :raises NotFound: the configuration has no such server."""
    if name in client.get_json(client.connection.dicomweb_servers):
        return DicomWebServer(client, name)
    if name in client.get_json("/modalities"):
        return Modality(client, name)
    raise NotFound(
        f"there is no server to retrieve from {name!r}", remedy="use a name of DicomWeb.Servers or DicomModalities"
    )


def _by_keyword(answer: Mapping[str, Any]) -> Found:
    """Convert an answer of Orthanc (``0008,0060``) or in DICOM JSON (``00080060``) to texts by keyword."""
    values = {}
    for tag, element in answer.items():
        keyword = keyword_for_tag(int(tag.replace(",", ""), 16))
        value = element.get("Value")
        parts = value if isinstance(value, list) else [value]
        if keyword and parts and all(isinstance(part, str | int | float) for part in parts):
            values[keyword] = "\\".join(str(part).strip(" \0") for part in parts)
    return values
