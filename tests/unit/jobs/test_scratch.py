"""Errors name no folder of a job: it is gone when somebody reads them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NoReturn

import pytest

from derived_series.dicomweb.client import Connection
from derived_series.errors import UserCodeError
from derived_series.jobs.messages import DeriveTask
from derived_series.jobs.scratch import prefix_of, without_scratch
from derived_series.jobs.work.attempt import Attempt, make_attempt


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no /var/lib/x/scratch/derived-series-j1-ab_c/tmpq8/in/ct.nii.gz there", "no {folder}/in/ct.nii.gz there"),
        ("'/tmp/derived-series-j1-abc/tmpq8'", "'{folder}'"),
        ("--in=/tmp/derived-series-j1-abc/tmpq8/in", "--in={folder}/in"),
        ("/tmp/derived-series-j1-abc/000001.dcm", "{folder}/000001.dcm"),
        ("/data/derived-series-j2-abc/x and /data/models", "/data/derived-series-j2-abc/x and /data/models"),
    ],
)
def test_a_folder_of_the_job_has_the_name_that_commands_have_for_it(text: str, expected: str) -> None:
    assert without_scratch(text, "j1") == expected


def test_an_attempts_error_has_it_so(tmp_path: Path) -> None:
    folder = tmp_path / f"{prefix_of('j1')}abc" / "tmpxyz"

    def work(attempt: Attempt) -> NoReturn:
        raise UserCodeError(f"no {folder}/out/seg.nii.gz", remedy=f"write {folder}/out", details=f"{folder}: empty")

    task = DeriveTask("j1", 1, "series", {}, datetime(2026, 1, 1), Connection("http://127.0.0.1:9"), ())
    error = make_attempt(task, work).error
    assert error is not None
    texts = (error.message, error.remedy, error.details)
    assert texts == ("no {folder}/out/seg.nii.gz", "write {folder}/out", "{folder}: empty")
