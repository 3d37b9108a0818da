"""The routes of provenance: the parents of a derived series, and the series derived from one."""

from __future__ import annotations

from derived_series.errors import NotFound
from derived_series.jobs.metadata import EXPLANATION
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.http import Answer, Request

#: The keys of a provenance that another series' address may show.
_OF_ANOTHER = ("Job", "Created", "Parents", "Pipeline", "Blueprint", "Factory", "Rule", "Code")


class ProvenanceRoutes:
    """``GET /series/{id}/provenance`` and ``GET /series/{id}/derived``."""

    def __init__(self, gateway: Gateway):
        self._gateway = gateway

    def provenance(self, request: Request) -> Answer:
        """The parents of the series and how it was derived, with the explained header."""
        series = request.groups[0]
        self._gateway.series(series)
        provenance = self._gateway.provenance(series)
        if provenance is None:
            raise NotFound(f"the series {series} was not derived by this plugin")
        return Answer.of(
            {**provenance, "Header": self._gateway.get(f"/series/{series}/attachments/{EXPLANATION}/data")}
        )

    def derived(self, request: Request) -> Answer:
        """The series of the study that have this one among their parents, oldest first.

        What may quote their tags is below their own addresses only.
        """
        request.check_query()
        parent = request.groups[0]
        study = self._gateway.series(parent)["ParentStudy"]
        derived = []
        for series in self._gateway.get(f"/studies/{study}")["Series"]:
            provenance = self._gateway.provenance(series)
            if provenance is not None and any(item["ID"] == parent for item in provenance.get("Parents", ())):
                brief = {key: provenance[key] for key in _OF_ANOTHER if key in provenance}
                derived.append({"ID": series, "Path": f"/series/{series}", "Provenance": brief})
        return Answer.of(sorted(derived, key=lambda item: str(item["Provenance"].get("Created", ""))))
