"""A rejection note is looked for in the study alone: Orthanc's own search takes the longer, the more it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from derived_series.orthanc.rejection_notes import rejection_in_study
from route_client import FakeGateway

SERIES, STUDY = "-".join(["0000000a"] * 5), "-".join(["0000000b"] * 5)


class OneStudy(FakeGateway):
    """An Orthanc that refuses to search."""

    def __init__(self, folder: Path, title: str):
        super().__init__(folder, {})
        of_note: dict[str, Any] = {
            "0008,0018": "2.1",
            "0040,a043": [{"0008,0100": title, "0008,0102": "DCM"}],
            "0040,a375": [{"0008,1115": [{"0020,000e": "1.2"}]}],
        }
        series = {"ID": SERIES, "ParentStudy": STUDY, "Instances": ["i"], "MainDicomTags": {"SeriesInstanceUID": "1.2"}}
        note = {"ID": "note", "Instances": ["n"], "MainDicomTags": {"SeriesInstanceUID": "2", "Modality": "KO"}}
        self.resources |= {
            f"/series/{SERIES}": series,
            f"/studies/{STUDY}/series": [series, note],
            "/instances/n/tags?short": of_note,
        }

    def post(self, path: str, body: str) -> Any:
        raise AssertionError(f"{path} was asked")


@pytest.mark.parametrize(("title", "state"), [("113038", "Rejected"), ("113000", None)])
def test_a_note_of_the_study_rejects(tmp_path: Path, title: str, state: str | None) -> None:
    verdict = rejection_in_study(OneStudy(tmp_path, title), SERIES)
    assert (verdict or {}).get("State") == state
    assert verdict is None or verdict["KeyObjects"]["ID"] == "note"
