"""Orthanc's configuration files are read as Orthanc reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from derived_series.errors import InvalidRequest
from derived_series.installation.configuration import read_configuration, read_file


def test_comments_and_last_commas_are_not_a_part_of_it_and_strings_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('// one\n{"A": "http://x/*y*/", /* two\n // */ "B": [1, 2,], "C": {"D": "a,]",}, // three\n}')
    assert read_file(file) == {"A": "http://x/*y*/", "B": [1, 2], "C": {"D": "a,]"}}


def test_variables_are_replaced_and_have_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVED_SERIES_TEST", "C:\\x")
    file = tmp_path / "a.json"
    file.write_text(
        '{"A": "${DERIVED_SERIES_TEST}", "B": "${DERIVED_SERIES_NOT_SET:-there}", "C": "${NOT_SET_AT_ALL}"}'
    )
    assert read_file(file) == {"A": "C:\\x", "B": "there", "C": ""}


def test_the_files_of_a_folder_are_merged_and_others_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"Name": "x"}')
    (tmp_path / "b.JSON").write_text('{"HttpPort": 1}')
    (tmp_path / "c.json.removed").write_text("{")
    (tmp_path / "d.json").mkdir()
    read = read_configuration(tmp_path)
    assert read.merged == {"Name": "x", "HttpPort": 1} and read.problems == ()
    assert read.files == {"Name": tmp_path / "a.json", "HttpPort": tmp_path / "b.JSON"}


def test_what_orthanc_refuses_is_named_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"Name": "x"}')
    (tmp_path / "b.json").write_text('{"Name": "y"}')
    (tmp_path / "c.json").write_text("{")
    (tmp_path / "d.json").write_text("[]")
    twice, broken, listed = read_configuration(tmp_path).problems
    assert twice == f"Name is set in {tmp_path / 'a.json'} and in {tmp_path / 'b.json'}: Orthanc refuses to start"
    assert f"{tmp_path / 'c.json'} is not JSON" in broken and f"{tmp_path / 'd.json'} is not a JSON object" in listed


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="is not there"):
        read_configuration(tmp_path / "x")
