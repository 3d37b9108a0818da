"""Orthanc as the plugin sees it, so that tests can replace it without a server."""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from derived_series.errors import NotFound
from derived_series.jobs.metadata import PROVENANCE, RETRIEVED
from derived_series.jobs.own_metadata import provenance_in, retrieval_in
from derived_series.jobs.remote.attempts import Attempts
from derived_series.jobs.requests.derive import ORTHANC_ID
from derived_series.orthanc.browsers import Doorkeeper
from derived_series.orthanc.http import Route


class Gateway(ABC):
    """Orthanc's REST API without HTTP, its configuration, and its hooks for plugins."""

    @abstractmethod
    def configuration(self) -> dict[str, Any]:
        """Orthanc's whole configuration, with environment variables replaced. It holds passwords: never log it."""

    @abstractmethod
    def configuration_path(self) -> Path:
        """The configuration's file or folder."""

    @abstractmethod
    def authorization(self) -> str:
        """The Authorization header with which Orthanc accepts its own plugins."""

    @abstractmethod
    def get(self, path: str) -> Any:
        """GET of Orthanc's own REST API.

        :raises NotFound: no such resource. :raises Busy: its database does not answer.
        :raises DerivedSeriesError: it fails for another reason: its file storage is away, for example.
        """

    @abstractmethod
    def get_any(self, path: str) -> Any:
        """GET of the REST API including other plugins' routes; raises the errors of ``get``."""

    @abstractmethod
    def post(self, path: str, body: str) -> Any:
        """POST to Orthanc's own REST API; raises the errors of ``put``."""

    @abstractmethod
    def put(self, path: str, body: bytes) -> None:
        """PUT to Orthanc's own REST API.

        :raises NotFound: no such resource. :raises DerivedSeriesError: Orthanc refuses the request.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """DELETE of Orthanc's own REST API; raises the errors of ``put``."""

    @abstractmethod
    def metric(self, name: str, value: float) -> None:
        """Set a value on Orthanc's page for Prometheus, ``/tools/metrics-prometheus``."""

    @abstractmethod
    def log_as(self, lines: logging.Formatter) -> None:
        """Set the format of the plugin's lines in Orthanc's log."""

    @abstractmethod
    def features(self) -> dict[str, bool]:
        """Whether this Orthanc has each feature that older ones lack, by the name of its function."""

    @abstractmethod
    def set_stable(self, series: str) -> None:
        """Make Orthanc regard a series as stable now, if this version can; else it does after StableAge."""

    @abstractmethod
    def audit(self, user: str, series: str, action: str, data: bytes) -> None:
        """Write to Orthanc's audit log, if it has one, who did what to a series.

        :raises DerivedSeriesError: the entry is not accepted.
        """

    @abstractmethod
    def tag_number(self, keyword: str) -> str | None:
        """A tag as ``0008,0060``, by its keyword; None if Orthanc's dictionary lacks it."""

    @abstractmethod
    def extend_explorer(self, script: str) -> None:
        """Run a script in each page of Orthanc Explorer."""

    @abstractmethod
    def on_changes(self, start: Callable[[], None], stop: Callable[[], None], stable: Callable[[], None]) -> None:
        """Call functions when Orthanc has started, when it is about to stop, and when a series has become stable.

        Orthanc handles no other change while they run.
        """

    @abstractmethod
    def serve(self, routes: Sequence[Route], doorkeeper: Doorkeeper, attempts: Attempts) -> None:
        """Register the routes, and refuse requests of attempts that have ended: see ``Attempts.is_live``."""

    def series(self, orthanc_id: str) -> dict[str, Any]:
        """A series by its Orthanc identifier. :raises NotFound: no such series."""
        try:
            if ORTHANC_ID.fullmatch(orthanc_id):
                series: dict[str, Any] = self.get(f"/series/{orthanc_id}")
                return series
        except NotFound:
            pass
        raise NotFound(
            f"there is no series {orthanc_id} in Orthanc",
            remedy="give the Orthanc identifier of a series, as GET /series lists them",
        )

    def has_series(self, orthanc_id: str) -> bool:
        """Whether Orthanc has a series with this identifier."""
        try:
            return bool(self.series(orthanc_id))
        except NotFound:
            return False

    def patient_resource(self, series: str) -> str:
        """The Orthanc identifier of a series' patient. :raises NotFound: no such series."""
        return str(self.get(f"/studies/{self.series(series)['ParentStudy']}")["ParentPatient"])

    def metadata(self, series: str, number: int) -> Any:
        """User-defined metadata of a series, which is JSON; None if it has none. :raises ValueError: it is not JSON."""
        try:
            return self.get(f"/series/{series}/metadata/{number}")
        except NotFound:
            return None

    def provenance(self, series: str) -> dict[str, Any] | None:
        """The provenance that the job of a series wrote; None if the series was not derived here."""
        return provenance_in(self._metadata_of_any_program(series, PROVENANCE))

    def retrieval(self, series: str) -> dict[str, Any] | None:
        """The mark of a series that a job has brought here as one of its inputs; None if there is none."""
        return retrieval_in(self._metadata_of_any_program(series, RETRIEVED))

    def _metadata_of_any_program(self, series: str, number: int) -> object:
        try:
            return self.metadata(series, number)
        except (ValueError, RecursionError):  # another program wrote it
            return None

    def find_series(self, query: dict[str, str]) -> list[dict[str, Any]]:
        """The series whose tags have these values, each as ``GET /series/{id}`` answers."""
        series: list[dict[str, Any]] = self.post(
            "/tools/find", json.dumps({"Level": "Series", "Query": query, "Expand": True})
        )
        return series

    def instance_counts(self, series_instance_uids: Iterable[str]) -> dict[str, int]:
        """The number of instances of the series with these SeriesInstanceUIDs, as far as they are there."""
        query = {"SeriesInstanceUID": "\\".join(series_instance_uids)}
        return {
            str(series["MainDicomTags"]["SeriesInstanceUID"]): len(series["Instances"])
            for series in self.find_series(query)
        }

    def remove_series(self, series_instance_uids: Iterable[str]) -> int:
        """Remove all series with these SeriesInstanceUIDs; return how many were removed.

        :raises DerivedSeriesError: Orthanc refuses it.
        """
        removed = 0
        for series in self.find_series({"SeriesInstanceUID": "\\".join(series_instance_uids)}):
            try:
                self.delete(f"/series/{series['ID']}")
            except NotFound:  # somebody else has removed it
                continue
            removed += 1
        return removed
