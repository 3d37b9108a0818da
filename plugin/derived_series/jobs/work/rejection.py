"""Rejecting a derived series in a worker process: store and verify the document, then record the verdict."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import pydicom
from pydicom.sr.coding import Code

from derived_series.dicom.objects.rejection_note import Rejection, encoded, rejection_note
from derived_series.dicomweb.client import Client
from derived_series.dicomweb.readback import Sample, describe_series, remove_series, verify
from derived_series.dicomweb.stow import Part10, store
from derived_series.errors import NotFound
from derived_series.jobs.destination_states import PENDING
from derived_series.jobs.messages import Outcome
from derived_series.jobs.metadata import REVIEW
from derived_series.jobs.requests.verdict import ACCEPTED, LABELS, REJECTED, reason_of, review_json
from derived_series.jobs.work.attempt import Attempt
from derived_series.jobs.work.delivery import send_on


def reject(attempt: Attempt) -> Outcome:
    """Store the rejection note of a series, and send it to all destinations that have the series.

    Every attempt makes the same note, and replaces an existing one.

    :param attempt: its series is the derived one; ``Destinations`` of its request have that series.
    """
    client, task = attempt.client, attempt.task
    if task.result is not None:
        return send_on(attempt, task.result)
    series = describe_series(client, task.series)
    rows = client.get_json(f"/series/{task.series}/instances")
    rows.sort(key=lambda row: (int(row["MainDicomTags"].get("InstanceNumber") or 0), row["ID"]))
    first = pydicom.dcmread(io.BytesIO(client.get_bytes(f"/instances/{rows[0]['ID']}/file")), stop_before_pixels=True)
    uids = [row["MainDicomTags"]["SOPInstanceUID"] for row in rows]
    note = rejection_note(first, uids, _rejection(task.request), attempt.context)
    series_uid, uid = str(note.SeriesInstanceUID), str(note.SOPInstanceUID)
    part = Part10(uid, encoded(note))
    attempt.progress.begin_completion({series_uid: 1})
    remove_series(client, series_uid)
    store(client, series.study_instance_uid, [part])
    orthanc_id = verify(client, series_uid, [uid], [Sample.of(uid, part.data, lambda: part.data)])
    attempt.progress.settle()
    verdict = review_json(REJECTED, task.request, task.now.astimezone().isoformat(), task.request.get("Former"))
    verdict["KeyObjects"] = {"ID": orthanc_id, "SeriesInstanceUID": series_uid, "SOPInstanceUID": uid}
    _label(client, task.series)
    client.put(f"/series/{task.series}/metadata/{REVIEW}", json.dumps(verdict).encode())
    result: dict[str, Any] = {"Type": "Series", "ID": orthanc_id, "Path": f"/series/{orthanc_id}"}
    result |= {"SeriesInstanceUID": series_uid, "InstancesCount": 1, "ParentSeries": task.series, "Warnings": []}
    result["Verdict"] = verdict
    if task.request.get("Destinations"):
        result["Destinations"] = dict.fromkeys(task.request["Destinations"], PENDING)
    return send_on(attempt, result)


def _rejection(request: Mapping[str, Any]) -> Rejection:
    reason = reason_of(request["Code"])
    return Rejection(
        title=Code(reason.title[0], "DCM", reason.title[1]),
        modifier=None if reason.code == reason.title[0] else Code(reason.code, "DCM", reason.meaning),
        user=request["User"],
        text=request.get("Reason") or None,
    )


def _label(client: Client, series: str) -> None:
    try:
        client.put(f"/series/{series}/labels/{LABELS[REJECTED]}", b"")
        client.delete(f"/series/{series}/labels/{LABELS[ACCEPTED]}")
    except NotFound:  # an Orthanc without labels
        return
