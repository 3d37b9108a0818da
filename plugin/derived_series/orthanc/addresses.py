"""The one table of the plugin's routes: where each is, and whose data it may carry.

Orthanc's filters and its authorization plugin decide by the address: ``/series/{id}/...`` and ``/instances/{id}/...``
name the resource, and with it the patient; ``/derived-series/...`` names none. What is about no resource therefore
carries identifiers, states and times, and nothing of a patient. A test asks every row as two users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from derived_series.errors import DerivedSeriesError
from derived_series.orthanc.http import Handler, Route

_NAME = r"([^/]+)"
_SERIES = f"/series/{_NAME}"
_JOB = f"{_SERIES}/jobs/{_NAME}"
_OWN = "/derived-series"


@dataclass(frozen=True, slots=True)
class Address:
    """A row of the table.

    :param pattern: a regular expression for the whole path; a resource's identifier is its first group.
    :param about: the level of the resource that it names; None: it carries nothing of a patient.
    """

    pattern: str
    methods: tuple[str, ...] = ("GET",)
    about: Literal["series", "instances"] | None = None


def _of_series(path: str, *methods: str) -> Address:
    return Address(path, methods or ("GET",), "series")


ADDRESSES: Mapping[str, Address] = MappingProxyType(
    {
        "derive": _of_series(f"{_SERIES}/derive", "POST"),
        "derive image": _of_series(f"{_SERIES}/derive/{_NAME}/{_NAME}", "POST"),
        "derived": _of_series(f"{_SERIES}/derived"),
        "provenance": _of_series(f"{_SERIES}/provenance"),
        "verdict": _of_series(f"{_SERIES}/review", "GET", "POST"),
        "sources": _of_series(f"{_SERIES}/sources"),
        "manifest": _of_series(f"{_SERIES}/manifest"),
        "fitting pipelines": _of_series(f"{_SERIES}/pipelines"),
        "try rules": _of_series(f"{_SERIES}/rules/simulate", "POST"),
        "jobs of a series": _of_series(f"{_SERIES}/jobs"),
        "job of a series": _of_series(_JOB, "GET", "DELETE"),
        "cancel": _of_series(f"{_JOB}/cancel", "POST"),
        "resubmit": _of_series(f"{_JOB}/resubmit", "POST"),
        "image": _of_series(f"{_JOB}/image"),
        "progress": _of_series(f"{_JOB}/progress", "POST"),
        "log": _of_series(f"{_JOB}/log"),
        "pixels": Address(f"/instances/{_NAME}/pixels/{_NAME}/{_NAME}", about="instances"),
        "status": Address(f"{_OWN}/status"),
        "blueprints": Address(f"{_OWN}/blueprints"),
        "blueprint": Address(f"{_OWN}/blueprints/{_NAME}"),
        "factories": Address(f"{_OWN}/factories"),
        "pipelines": Address(f"{_OWN}/pipelines"),
        "pipeline": Address(f"{_OWN}/pipelines/{_NAME}"),
        "rules": Address(f"{_OWN}/rules"),
        "simulate": Address(f"{_OWN}/rules/simulate", ("POST",)),
        "jobs": Address(f"{_OWN}/jobs"),
        "job": Address(f"{_OWN}/jobs/{_NAME}", ("GET", "DELETE")),
        "job, to change": Address(f"{_OWN}/jobs/{_NAME}/(cancel|resubmit)", ("POST",)),
        "recent": Address(f"{_OWN}/recent"),
        "start page": Address(_OWN),  # Orthanc cuts the slash at the end off
        "form page": Address(f"{_OWN}/derive.html"),
        "review page": Address(f"{_OWN}/review/{_NAME}"),
        "files of pages": Address(f"{_OWN}/app/{_NAME}/{_NAME}"),
        "viewer": Address("/ohif/(.*)"),
    }
)


def bound(handlers: Mapping[str, Mapping[str, Handler]]) -> list[Route]:
    """The routes, each row with its handlers by method.

    :raises DerivedSeriesError: a handler without its row, or a row without its handlers.
    """
    asked = {name: sorted(each) for name, each in handlers.items()}
    listed = {name: sorted(row.methods) for name, row in ADDRESSES.items()}
    if wrong := sorted(name for name in asked.keys() | listed.keys() if asked.get(name) != listed.get(name)):
        differences = [
            f"{name!r} has {listed.get(name, 'no row')} in the table and {asked.get(name, 'no handler')} in routes()"
            for name in wrong
        ]
        raise DerivedSeriesError(
            f"these routes are not as the table of addresses has them: {'; '.join(differences)}",
            remedy="a route is a row of ADDRESSES in orthanc/addresses.py and a handler in routes() of orthanc/app.py",
        )
    return [Route(ADDRESSES[name].pattern, each) for name, each in handlers.items()]
