"""The routes that tell where a derived series comes from, and what was derived from a series."""

from __future__ import annotations

from typing import Any

from derived_series.errors import NotFound
from derived_series.jobs.metadata import EXPLANATION, PROVENANCE
from derived_series.orthanc.gateway import Gateway
from derived_series.orthanc.http import Answer, Request

#: What one series' address tells of how another was made.
_OF_ANOTHER = ("Job", "Created", "Parents", "Pipeline", "Blueprint", "Factory", "Rule", "Code")


class ProvenanceRoutes:
    """``GET /series/{id}/provenance`` and ``GET /series/{id}/derived``."""

    def __init__(self, gateway: Gateway):
        self._gateway = gateway

    def provenance(self, request: Request) -> Answer:
        """What the series was derived from and how, with the explained header."""
        series = request.groups[0]
        self._gateway.series(series)
        found = self._of(series)
        if found is None:
            raise NotFound(f"the series {series} was not derived by this plugin")
        return Answer.of({**found, "Header": self._gateway.get(f"/series/{series}/attachments/{EXPLANATION}/data")})

    def derived(self, request: Request) -> Answer:
        """The series of the study that have this one among their parents, oldest first.

        What may quote their tags is below their own addresses.
        """
        parent = request.groups[0]
        study = self._gateway.series(parent)["ParentStudy"]
        found = []
        for series in self._gateway.get(f"/studies/{study}")["Series"]:
            made = self._of(series)
            if made is not None and any(item["ID"] == parent for item in made["Parents"]):
                brief = {key: made[key] for key in _OF_ANOTHER if key in made}
                found.append({"ID": series, "Path": f"/series/{series}", "Provenance": brief})
        return Answer.of(sorted(found, key=lambda item: str(item["Provenance"]["Created"])))

    def _of(self, series: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._gateway.get(f"/series/{series}/metadata/{PROVENANCE}")
        except NotFound:
            return None
        return found
