"""STOW-RS (PS3.18 10.5): storing instances, and counting those that the server confirms.

The status alone is meaningless: servers answer 200 to an empty body, and 400 after storing the valid instances of a
request. What counts is in which list of the answer each SOPInstanceUID is.

This is not left to dicomweb-client (0.61), which takes datasets, encodes them again, and does not count the answer.
Here bytes are sent over several connections while later instances are made.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import requests

from derived_series.dicomweb.client import Client, is_transient, quoted
from derived_series.dicomweb.multipart import content_type, make_body, new_boundary
from derived_series.errors import StorageError

_REFERENCED_SOP_SEQUENCE = "00081199"
_FAILED_SOP_SEQUENCE = "00081198"
_REFERENCED_SOP_INSTANCE_UID = "00081155"
_FAILURE_REASON = "00081197"
_NAMED_INSTANCES = 5

#: The most bytes of a request besides its instances: boundaries and headers of the parts.
_AROUND_INSTANCES_BYTES = 1 << 14


@dataclass(frozen=True, slots=True)
class Part10:
    """An encoded instance: a complete Part 10 file and the SOPInstanceUID in it."""

    sop_instance_uid: str
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How to split instances into requests, and how many requests run at once.

    :param instances: the most instances in a request.
    :param size: the bytes at which a request is full (a single instance may be larger).
    :param connections: requests at once; at most as many again wait for their turn.
    :param most: the most bytes that the server takes in a request; None: any number.
    """

    instances: int = 30
    size: int = 8 << 20
    connections: int = 4
    most: int | None = None

    def within(self, most: int | None) -> BatchLimits:
        """The limits for a server that refuses larger requests. :param most: bytes; None: it takes any number."""
        if most is None:
            return self
        return dataclasses.replace(self, size=min(self.size, max(1, most - _AROUND_INSTANCES_BYTES)), most=most)


def store(
    client: Client,
    study_instance_uid: str,
    instances: Iterable[Part10],
    *,
    limits: BatchLimits = BatchLimits(),
    stored: Callable[[int], None] = lambda count: None,
) -> int:
    """Store instances into a study, sending them while later ones are made.

    :param stored: called in this thread with the number of instances confirmed so far.
    :returns: the number of instances, each of them confirmed.
    :raises StorageError: the first failure; some instances may be stored already and have to be removed.
    """
    total = 0
    waiting: set[Future[int]] = set()
    stop = threading.Event()
    with ThreadPoolExecutor(limits.connections, thread_name_prefix="stow") as pool:
        try:
            for chunk in _chunks(instances, limits):
                waiting.add(pool.submit(_send, client, study_instance_uid, chunk, stop))
                while len(waiting) > limits.connections:
                    total += _collect(waiting, stored, total)
            while waiting:
                total += _collect(waiting, stored, total)
        finally:
            stop.set()
    return total


def _collect(waiting: set[Future[int]], stored: Callable[[int], None], before: int) -> int:
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    waiting -= done
    count = sum(future.result() for future in done)
    stored(before + count)
    return count


def _chunks(instances: Iterable[Part10], limits: BatchLimits) -> Iterator[list[Part10]]:
    chunk: list[Part10] = []
    size = 0
    for instance in instances:
        if limits.most is not None and len(instance.data) + _AROUND_INSTANCES_BYTES > limits.most:
            raise StorageError(
                f"the instance {instance.sop_instance_uid} has {len(instance.data)} bytes, and the server takes "
                f"requests of {limits.most}",
                remedy="raise MaximumRequestBodySizeMB in Orthanc's configuration",
            )
        if chunk and limits.most is not None and size + len(instance.data) > limits.size:
            yield chunk
            chunk, size = [], 0
        chunk.append(instance)
        size += len(instance.data)
        if len(chunk) >= limits.instances or size >= limits.size:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _send(client: Client, study_instance_uid: str, chunk: list[Part10], stop: threading.Event) -> int:
    if stop.is_set():
        return 0
    sent = [instance.sop_instance_uid for instance in chunk]
    boundary = new_boundary()
    body = make_body((instance.data for instance in chunk), boundary)
    chunk.clear()  # the body has a copy
    url = client.connection.dicomweb_url("studies", study_instance_uid)
    client.has_sent_instances = True
    answer = client.send(
        "POST",
        url,
        headers={"Content-Type": content_type(boundary), "Accept": "application/dicom+json"},
        data=body,
        within=client.connection.store_timeout,
    )
    return _confirmed(answer, sent)


def _confirmed(answer: requests.Response, sent: list[str]) -> int:
    """Require that an answer confirms all instances that were sent; return their number.

    :raises StorageError: instances failed or were left out; the error names them with the server's reason.
    """
    where = f"STOW-RS to {answer.url} ({answer.status_code})"
    if answer.status_code in (401, 403, 404, 405, 413, 415) or (
        answer.status_code >= 500 and is_transient(answer.status_code)
    ):
        raise StorageError(
            f"{where}: {answer.reason}",
            remedy="is the server read-only (ReadOnly in its configuration)?" if answer.status_code == 405 else None,
            details=quoted(answer),
            transient=is_transient(answer.status_code),
        )
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise StorageError(f"{where}: the answer is not DICOM JSON", details=quoted(answer))
    failed = {uid: _reason(item) for uid, item in _items(document, _FAILED_SOP_SEQUENCE)}
    listed = {uid for uid, _ in _items(document, _REFERENCED_SOP_SEQUENCE)}
    lacking = [uid for uid in sent if uid not in listed or uid in failed]
    if not lacking and answer.status_code < 300:
        return len(sent)
    reasons = [f"{uid}: {failed.get(uid, 'in no list of the answer')}" for uid in lacking]
    # If its disk is full, Orthanc answers 200 and does not mention the instance (DICOMweb plugin 1.7), or 202 or 400
    # with "processing failure" (1.20). The same with 409 is for an instance of another study, which is permanent.
    passing = ["A7"]
    if answer.status_code < 300:
        passing.append("")
    if answer.status_code in (202, 400):
        passing.append("01")
    raise StorageError(
        f"{where}: {len(lacking)} of {len(sent)} instances were not stored: " + "; ".join(reasons[:_NAMED_INSTANCES]),
        remedy="the server's log may tell why: a full disk, or a filter that drops instances",
        details="\n".join(reasons) or quoted(answer),
        transient=bool(lacking) and all(failed.get(uid, "")[:2] in passing for uid in lacking),
    )


def _items(document: dict[str, Any], tag: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The items of a sequence in DICOM JSON (PS3.18 F.2), by their ReferencedSOPInstanceUID."""
    for item in document.get(tag, {}).get("Value") or ():
        yield str(((item.get(_REFERENCED_SOP_INSTANCE_UID) or {}).get("Value") or [""])[0]), item


def _reason(item: dict[str, Any]) -> str:
    value = ((item.get(_FAILURE_REASON) or {}).get("Value") or [None])[0]
    return f"{value:04X}H ({_meaning(value)})" if isinstance(value, int) else "no reason given"


def _meaning(reason: int) -> str:
    """The meaning of a FailureReason (0008,1197), PS3.3 C.14 and PS3.18 table I.2-2."""
    known = {
        0x0110: "processing failure: a full disk, or not of this study",
        0x0122: "SOP class not supported",
        0x0124: "not authorized",
        0xC122: "transfer syntax not supported",
    }
    ranges = {
        0xA7: "out of resources",
        0xA9: "data set does not match its SOP class",
        0xC0: "cannot understand",
    }
    return known.get(reason) or ranges.get(reason >> 8) or "see PS3.18 table I.2-2"
