"""Concatenations: one multi-frame image that was sent as several instances (PS3.3 C.7.6.16.2.2.4)."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.dataset import Dataset

from derived_series.dicom.encoding.tags import describe, to_tag


def missing_parts(instances: Iterable[Dataset]) -> list[str]:
    """Warn of concatenations of which not all parts are there, by their own count, or by the frames before each."""
    parts: dict[str, list[Dataset]] = {}
    for instance in instances:
        uid = str(instance.get("ConcatenationUID") or "")
        if uid:
            parts.setdefault(uid, []).append(instance)
    return [
        f"{describe(to_tag('ConcatenationUID'))} {uid} of the parent series: {problem}; what is there was taken"
        for uid, present in parts.items()
        if (problem := _what_is_missing(present))
    ]


def _what_is_missing(present: list[Dataset]) -> str:
    total = max(_number(part, "InConcatenationTotalNumber") for part in present)
    if total > len(present):
        return f"{len(present)} of its {total} parts are there"
    frames = 0
    for offset, count in sorted(
        (_number(part, "ConcatenationFrameOffsetNumber"), _number(part, "NumberOfFrames")) for part in present
    ):
        if offset > frames:
            return f"its frames {frames + 1} to {offset} are not there"
        frames = max(frames, offset + count)
    return ""


def _number(dataset: Dataset, keyword: str) -> int:
    """The number; 0 where it is missing or not one."""
    try:
        return int(dataset.get(keyword) or 0)
    except (TypeError, ValueError):
        return 0
