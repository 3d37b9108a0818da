"""Recording the provenance of a derived series, as metadata and an attachment of the series in Orthanc."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from derived_series.dicom.explanation import explain
from derived_series.dicom.series.interface import Series
from derived_series.jobs.metadata import EXPLANATION, PROVENANCE
from derived_series.jobs.plain import json_bytes
from derived_series.jobs.work.attempt import Attempt


def record_provenance(
    attempt: Attempt,
    orthanc_id: str,
    series: Series,
    parents: Mapping[str, tuple[str, str]],
    code: Mapping[str, Any],
    of_job: Mapping[str, Any],
) -> None:
    """Write metadata and attachment; a repeated attempt writes the same again.

    :param parents: the Orthanc identifier and SeriesInstanceUID of each input, by name.
    :param code: the name and SHA-256 of the file with the pipeline or blueprint.
    :param of_job: the output, the other series of the job, and the numbers returned with them.
    """
    client, task = attempt.client, attempt.task
    request = task.request
    document: dict[str, Any] = {
        "Job": task.job_id,
        "Created": task.now.isoformat(),
        "ParentSeries": task.series,
        "Parents": [
            {"Input": name, "ID": parent, "SeriesInstanceUID": uid} for name, (parent, uid) in sorted(parents.items())
        ],
        **{key: request[key] for key in ("Pipeline", "Parameters", "Blueprint", "Factory") if key in request},
        **({} if task.rule is None else {"Rule": task.rule}),
        **({"By": task.by} if task.by else {}),
        "Code": dict(code),
        **of_job,
        "Request": request,
        "Warnings": list(series.warnings),
    }
    client.put(f"/series/{orthanc_id}/metadata/{PROVENANCE}", json_bytes(document))
    client.put(f"/series/{orthanc_id}/attachments/{EXPLANATION}", json_bytes(explain(series).to_json()))
