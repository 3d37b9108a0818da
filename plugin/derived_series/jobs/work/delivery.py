"""Sending a stored series on to servers of the DICOMweb plugin and DICOM modalities, by their names in Orthanc."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from derived_series.dicomweb.client import Client
from derived_series.errors import DerivedSeriesError, StorageError
from derived_series.jobs.destination_states import CLOSED, DELIVERED, FAILURE, REFUSED, states_of, with_states
from derived_series.jobs.messages import Outcome
from derived_series.jobs.stored_series import stored_series
from derived_series.jobs.work.attempt import Attempt

#: Orthanc's messages about a modality that accepts no proposed context, and one to which it can propose none.
_NO_CONTEXT = "No valid presentation context"
_NOT_SENT = "Failed to send message"
#: Its message about a transfer syntax that its own DICOM library does not know, from 1.12 on.
_UNKNOWN_SYNTAX = "Unknown transfer syntax"
_NOT_TRANSCODED = "Cannot transcode instance"  # Orthanc 1.13

#: Transfer syntaxes that every modality accepts (PS3.5 10.1), or nearly every one.
_PLAIN = (ImplicitVRLittleEndian.name, ExplicitVRLittleEndian.name)


def send_on(attempt: Attempt, result: dict[str, Any]) -> Outcome:
    """Send the stored series to the destinations that do not have them yet and are not held.

    :param result: the answer of the job, with the state of each in ``Destinations``.
    """
    states = {each["ID"]: states_of(each, result) for each in stored_series(result)}
    if all(state in CLOSED for theirs in states.values() for state in theirs.values()):
        return Outcome(result=result)
    if attempt.task.result is None:
        attempt.progress.tell_result(result)
    attempt.progress.tell("Delivering")
    errors = []
    for each in states:
        error, states[each] = _send_series(attempt, each, states[each])
        errors += [] if error is None else [error]
    return Outcome(result=with_states(result, states), error=_of_all(errors))


def _of_all(errors: Sequence[DerivedSeriesError]) -> DerivedSeriesError | None:
    """Combine the errors of all series; the result is transient if one of them is."""
    if len(errors) < 2:
        return errors[0] if errors else None
    return StorageError(
        "; ".join(error.message for error in errors),
        remedy=errors[0].remedy,
        details="\n".join(error.details or "" for error in errors),
        transient=any(isinstance(error, StorageError) and error.transient for error in errors),
    )


def _send_series(
    attempt: Attempt, series: str, states: dict[str, str]
) -> tuple[DerivedSeriesError | None, dict[str, str]]:
    """Send one series to its destinations: (error, new states)."""
    client = attempt.client
    waiting = [name for name, state in states.items() if state not in CLOSED and state != REFUSED]
    refused = [name for name, state in states.items() if state == REFUSED]
    if not waiting and not refused:
        return None, states
    failures = [Failure(name, _refusal(client, series, name), REFUSED) for name in refused]
    try:
        failures += deliver(client, series, waiting, attempt.task.job_id)
    except DerivedSeriesError as error:
        return error, states | dict.fromkeys(waiting, FAILURE)
    after = states | dict.fromkeys(waiting, DELIVERED) | {failure.name: failure.state for failure in failures}
    return _undelivered(series, failures), after


@dataclass(frozen=True, slots=True)
class Failure:
    """A destination that did not take a series. ``state``: "Failure", which may be temporary, or ``REFUSED``."""

    name: str
    error: DerivedSeriesError
    state: str = FAILURE


def deliver(client: Client, orthanc_id: str, names: Iterable[str], job_id: str) -> list[Failure]:
    """Send a series to each destination, independently of the others; return the failures.

    If a modality does not accept the series' transfer syntax, Orthanc transcodes it if it can.

    :param names: the destinations that do not have it yet.
    :param job_id: the job, which Orthanc's own jobs name in UserData (from 1.12.9 on).
    """
    root = client.connection.dicomweb_servers
    servers = set(client.get_json(root))
    asked = {"Resources": [orthanc_id], "Synchronous": True, "UserData": {"DerivedSeriesJob": job_id}}
    failures = []
    for name in names:
        path = f"{root}/{name}/stow" if name in servers else f"/modalities/{name}/store"
        try:
            client.post_json(path, json.dumps(asked))
        except DerivedSeriesError as error:
            if name not in servers and _is_refusal(client, orthanc_id, name, error):
                failures.append(Failure(name, _refusal(client, orthanc_id, name, error), REFUSED))
            else:
                failures.append(Failure(name, error))
    return failures


def _is_refusal(client: Client, orthanc_id: str, name: str, error: DerivedSeriesError) -> bool:
    """Whether a modality answers but refuses this kind of instances, so that trying again is useless."""
    details = error.details or ""
    if any(words in details for words in (_NO_CONTEXT, _UNKNOWN_SYNTAX, _NOT_TRANSCODED)):
        return True
    if _NOT_SENT not in details or _kind(client, orthanc_id)[1] in _PLAIN:
        return False
    try:
        client.post_json(f"/modalities/{name}/echo", "{}")
    except DerivedSeriesError:
        return False
    return True


def _refusal(client: Client, orthanc_id: str, name: str, error: DerivedSeriesError | None = None) -> StorageError:
    sop_class, syntax = _kind(client, orthanc_id)
    return StorageError(
        f"{name} does not take the transfer syntax {syntax} for {sop_class}, and Orthanc does not transcode it",
        details=None if error is None else error.details,
    )


def _kind(client: Client, orthanc_id: str) -> tuple[str, str]:
    """The SOP class and transfer syntax of a series, by name if they have one."""
    first = client.get_json(f"/series/{orthanc_id}")["Instances"][0]
    meta = client.get_json(f"/instances/{first}/header?short")  # Orthanc's metadata leave out what it does not know
    sop_class, syntax = (UID(meta.get(tag, "").strip("\0 ")) for tag in ("0002,0002", "0002,0010"))
    return sop_class.name, syntax.name


def _undelivered(orthanc_id: str, failures: Sequence[Failure]) -> StorageError | None:
    if not failures:
        return None
    passing = [failure for failure in failures if failure.state != REFUSED]
    failures_text = "; ".join(
        failure.error.message if failure.state == REFUSED else f"{failure.name}: {failure.error.message}"
        for failure in failures
    )
    again = "when the destination answers again, resubmit the job: it only sends what is missing"
    otherwise = (
        'derive with another "TransferSyntax", such as "ExplicitVRLittleEndian", or let Orthanc transcode '
        "(AllowTranscoding of the modality), then resubmit the job"
    )
    return StorageError(
        f"the series is stored here as /series/{orthanc_id}, but not every destination has taken it: {failures_text}",
        remedy="; ".join([again] * bool(passing) + [otherwise] * (len(passing) < len(failures))),
        details="\n".join(failure.error.details or "" for failure in failures),
        transient=bool(passing),
    )
