"""Sending a stored series on: to servers of the DICOMweb plugin and to DICOM modalities, by their names in Orthanc."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from derived_series.dicomweb.client import Client
from derived_series.errors import DerivedSeriesError, NotFound, StorageError
from derived_series.jobs.hold import CLOSED, DELIVERED
from derived_series.jobs.progress import Progress
from derived_series.jobs.tasks import Outcome


def check_destinations(names: Iterable[str], servers: Iterable[str], modalities: Iterable[str]) -> None:
    """:raises NotFound: a name that is neither, naming those there are."""
    known = {*servers, *modalities}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise NotFound(
            f"there is no destination {', '.join(map(repr, unknown))}",
            remedy=f"use a name of DicomWeb.Servers or DicomModalities: {', '.join(sorted(known)) or 'none is there'}",
        )


def send_on(client: Client, result: dict[str, Any], progress: Progress) -> Outcome:
    """Send a stored series to its destinations that do not have it and may.

    :param result: the answer of the job, with the state of each in ``Destinations``.
    """
    states: dict[str, str] = dict(result.get("Destinations", {}))
    waiting = [name for name, state in states.items() if state not in CLOSED]
    if not waiting:
        return Outcome(result=result)
    progress.tell("Delivering")
    states.update(dict.fromkeys(waiting, "Failure"))
    try:
        failure: DerivedSeriesError | None = deliver(
            client, result["ID"], waiting, lambda name: states.update({name: DELIVERED})
        )
    except DerivedSeriesError as error:
        failure = error
    return Outcome(result={**result, "Destinations": states}, error=failure)


def deliver(
    client: Client, orthanc_id: str, names: Iterable[str], delivered: Callable[[str], None]
) -> StorageError | None:
    """Send a series to every destination, whatever becomes of the others.

    :param names: those that do not have it yet. :param delivered: is told each that has taken it.
    :returns: the failure to tell, None when all have taken it.
    """
    root = f"{client.connection.dicomweb_root.rstrip('/')}/servers"
    servers = set(client.get_json(root))
    failures = []
    for name in names:
        path = f"{root}/{name}/stow" if name in servers else f"/modalities/{name}/store"
        try:
            client.post_json(path, json.dumps({"Resources": [orthanc_id], "Synchronous": True}))
        except DerivedSeriesError as error:
            failures.append((name, error))
        else:
            delivered(name)
    if not failures:
        return None
    said = "; ".join(f"{name}: {error.message}" for name, error in failures)
    return StorageError(
        f"the series is stored here as /series/{orthanc_id}, but was not taken by {said}",
        remedy="when the destination answers again, resubmit the job: it only sends what is missing",
        details="\n".join(error.details or "" for _, error in failures),
        transient=True,
    )
