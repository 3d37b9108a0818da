"""The table of the plugin's routes: their addresses, and whose data each may carry.

Orthanc's filters and its authorization plugin decide by the address: ``/series/{id}/...`` and ``/instances/{id}/...``
name the resource, and with it the patient; ``/derived-series/...`` names none. Answers below the latter therefore carry
identifiers, states and times, and no patient data. A test asks every row as two users.

Each row also names the permissions that the authorization plugin requires of users. The plugin knows nothing of our
routes by itself: ``permissions.py`` makes its configuration from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from derived_series.errors import DerivedSeriesError
from derived_series.orthanc.http import Handler, Route

_NAME = r"([^/]+)"
_SERIES = f"/series/{_NAME}"
_JOB = f"{_SERIES}/jobs/{_NAME}"
_OWN = "/derived-series"


#: Permissions of the authorization plugin: ``view`` is one of its own, the others are ours.
Permission: TypeAlias = Literal["view", "derive", "review", "admin"]


@dataclass(frozen=True, slots=True)
class Address:
    """A row of the table.

    :param pattern: a regular expression for the whole path; a resource's identifier is its first group.
    :param methods: the permissions by method, of which a user needs one. None: a file of the package, which browsers
        request without credentials, or numbers for probes, which have no user.
    :param about: the level of the resource that it names; None: it carries no patient data.
    """

    pattern: str
    methods: Mapping[str, tuple[Permission, ...] | None]
    about: Literal["series", "instances"] | None = None


_VIEW: Mapping[str, tuple[Permission, ...]] = MappingProxyType({"GET": ("view",)})
_FILE: Mapping[str, None] = MappingProxyType({"GET": None})
_OPEN = _FILE  # monitoring has no user; it gets numbers and states


def _post(*permissions: Permission) -> Mapping[str, tuple[Permission, ...]]:
    return {"POST": permissions}


def _of_series(path: str, methods: Mapping[str, tuple[Permission, ...]] = _VIEW) -> Address:
    return Address(path, methods, "series")


ADDRESSES: Mapping[str, Address] = MappingProxyType(
    {
        "derive": _of_series(f"{_SERIES}/derive", _post("derive")),
        "derive image": _of_series(f"{_SERIES}/derive/{_NAME}/{_NAME}", _post("derive")),
        "derived": _of_series(f"{_SERIES}/derived"),
        "provenance": _of_series(f"{_SERIES}/provenance"),
        "verdict": _of_series(f"{_SERIES}/review", {**_VIEW, **_post("review")}),
        "sources": _of_series(f"{_SERIES}/sources"),
        "manifest": _of_series(f"{_SERIES}/manifest"),
        "fitting pipelines": _of_series(f"{_SERIES}/pipelines"),
        "try rules": _of_series(f"{_SERIES}/rules/simulate", _post("admin")),
        "jobs of a series": _of_series(f"{_SERIES}/jobs"),
        "job of a series": _of_series(_JOB, {**_VIEW, "DELETE": ("admin",)}),
        "cancel": _of_series(f"{_JOB}/cancel", _post("derive", "admin")),
        "resubmit": _of_series(f"{_JOB}/resubmit", _post("derive", "admin")),
        "image": _of_series(f"{_JOB}/image"),
        "progress": _of_series(f"{_JOB}/progress", _post("admin")),
        "log": _of_series(f"{_JOB}/log"),
        "attempt": _of_series(f"{_JOB}/(claim|attempt|outcome)", _post("admin")),
        "pixels": Address(f"/instances/{_NAME}/pixels/{_NAME}/{_NAME}", _VIEW, "instances"),
        "status": Address(f"{_OWN}/status", _VIEW),
        "blueprints": Address(f"{_OWN}/blueprints", _VIEW),
        "blueprint": Address(f"{_OWN}/blueprints/{_NAME}", _VIEW),
        "factories": Address(f"{_OWN}/factories", _VIEW),
        "pipelines": Address(f"{_OWN}/pipelines", _VIEW),
        "pipeline": Address(f"{_OWN}/pipelines/{_NAME}", _VIEW),
        "rules": Address(f"{_OWN}/rules", _VIEW),
        "simulate": Address(f"{_OWN}/rules/simulate", _post("admin")),
        "jobs": Address(f"{_OWN}/jobs", _VIEW),
        "job": Address(f"{_OWN}/jobs/{_NAME}", {**_VIEW, "DELETE": ("admin",)}),
        "job, to change": Address(f"{_OWN}/jobs/{_NAME}/(cancel|resubmit)", _post("derive", "admin")),
        "environment": Address(f"{_OWN}/environments/{_NAME}/(claim|attempt|outcome)", _post("admin")),
        "bundle": Address(f"{_OWN}/bundles/{_NAME}", {"GET": ("admin",)}),
        "file of a bundle": Address(f"{_OWN}/bundles/{_NAME}/{_NAME}", {"GET": ("admin",)}),
        "recent": Address(f"{_OWN}/recent", _VIEW),
        "bulk": Address(f"{_OWN}/bulk", {**_VIEW, **_post("admin")}),
        "bulk run": Address(f"{_OWN}/bulk/{_NAME}", {**_VIEW, "DELETE": ("admin",)}),
        "bulk run, to change": Address(
            f"{_OWN}/bulk/{_NAME}/(pause|resume|cancel|retry|replace|discard)", _post("admin")
        ),
        "bulk table": Address(f"{_OWN}/bulk/{_NAME}/table", _VIEW),
        "bulk table as CSV": Address(f"{_OWN}/bulk/{_NAME}/table.csv", _VIEW),
        "bulk report": Address(f"{_OWN}/bulk/{_NAME}/report", _VIEW),
        "health": Address(f"{_OWN}/health", _OPEN),
        "metrics": Address(f"{_OWN}/metrics", _VIEW),
        "start page": Address(_OWN, _FILE),  # Orthanc removes the slash at the end
        "form page": Address(f"{_OWN}/derive.html", _FILE),
        "bulk page": Address(f"{_OWN}/bulk.html", _FILE),
        "review page": Address(f"{_OWN}/review/{_NAME}", _FILE),
        "files of pages": Address(f"{_OWN}/app/{_NAME}/{_NAME}", _FILE),
        "viewer": Address(f"{_OWN}-ohif/(.*)", _FILE),
    }
)


def bound(handlers: Mapping[str, Mapping[str, Handler]]) -> list[Route]:
    """The routes: each row with its handlers by method.

    :raises DerivedSeriesError: a handler has no row, or a row no handlers.
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
            remedy="a route is a row of ADDRESSES in orthanc/addresses.py and a handler in orthanc/route_table.py",
        )
    return [Route(ADDRESSES[name].pattern, each) for name, each in handlers.items()]
