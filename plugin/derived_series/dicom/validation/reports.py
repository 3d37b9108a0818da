"""Checking structured reports: enumerated values, and the root of the content (PS3.3 C.17.2, C.17.3)."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from derived_series.dicom.encoding.tags import to_tag
from derived_series.dicom.validation.finding import Finding, error

_ENUMERATED = {
    "CompletionFlag": ("PARTIAL", "COMPLETE"),
    "VerificationFlag": ("UNVERIFIED", "VERIFIED"),
    "PreliminaryFlag": ("PRELIMINARY", "FINAL"),
}


def check_report(dataset: Dataset, where: str) -> Iterator[Finding]:
    """Check a structured report. :param dataset: any object; others than reports have no findings."""
    if dataset.get("Modality") != "SR":
        return
    for keyword, values in _ENUMERATED.items():
        value = dataset.get(keyword)
        if value and value not in values:
            yield error(int(to_tag(keyword)), f"is {value!r}: it is {' or '.join(values)}", where)
    if dataset.get("ValueType", "CONTAINER") != "CONTAINER":
        yield error(0x0040A040, f"is {dataset.ValueType!r}: the root of a report is a CONTAINER", where)
    if not dataset.get("ContentSequence"):
        yield error(0x0040A730, "is missing or empty: the report says nothing", where)
